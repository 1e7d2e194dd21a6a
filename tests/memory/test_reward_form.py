"""Tests of the choice of the reward's form."""

from dataclasses import replace

import numpy as np
import pytest

from tests.memory.worlds import SMALL, make_store, train, walk, walks
from worldmodels.memory.files import load_memory
from worldmodels.memory.reward_form import choose_reward_form
from worldmodels.memory.stats import world_stats

AUTO = replace(SMALL, reward_form="auto", epochs=1, outcome_hidden_dim=16)


def costly(seed: int):
    """A walk whose every step costs the square of where it leads."""
    episode = walk(seed)
    return replace(episode, reward=-np.square(episode.mu[1:, 0]).astype(np.float32))


@pytest.mark.slow
def test_a_potential_where_it_can_express_the_reward_and_any_function_where_not(tmp_path):
    moves, costs = walks(tmp_path / "moves"), make_store(tmp_path / "costs", [costly(seed) for seed in range(20)])
    assert choose_reward_form(moves, world_stats(moves), AUTO, (0,)) == "potential"
    assert choose_reward_form(costs, world_stats(costs), AUTO, (0,)) == "free"


@pytest.mark.slow
def test_the_first_rounds_form_is_kept(tmp_path):
    first = train(tmp_path / "first", AUTO)
    assert load_memory(tmp_path / "first" / "mdnrnn").config.reward_form == first.config.reward_form == "potential"
    costs = make_store(tmp_path / "costs", [costly(seed) for seed in range(20)])
    assert train(tmp_path / "second", AUTO, store=costs, previous=first).config.reward_form == "potential"
    assert train(tmp_path / "alone", AUTO, store=costs).config.reward_form == "free"
