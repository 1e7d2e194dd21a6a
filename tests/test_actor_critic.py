"""Tests of the actor-critic that C's search is compared with."""

import numpy as np
import pytest
import torch

from benchmarks.actor_critic import ActorCritic
from tests.dream.oracle import Oracle, Origin, dream_of
from worldmodels.control.controller import Controller


@pytest.mark.parametrize("hidden_dim", [0, 4])
def test_it_learns_to_stay_off_the_edge(hidden_dim):
    dream = dream_of(Oracle(edge=2.0), Origin(spread=0.5), features="z", horizon=6)
    controller = Controller(feature_dim=2, action_dim=2, features="z", action="discrete", hidden_dim=hidden_dim)
    learner = ActorCritic(controller, dream, seed=0)
    first = learner.improve()
    earned = [learner.improve() for _ in range(60)]
    assert first < 10 < np.mean(earned[-5:])  # 0 + 1 + … + 5 is the most; -100 beyond the edge
    solution, features = learner.as_controller(), torch.randn(1, 50, 2)
    wanted = learner.policy((features[0] - learner.mean) / learner.std).logits.argmax(-1)
    assert torch.equal(controller.act(torch.from_numpy(solution), features)[0].argmax(-1), wanted)
