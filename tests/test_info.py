"""Tests of what is said of a folder."""

from pathlib import Path

import numpy as np
import pytest

from tests.environment.episodes import STATE_SPEC, make_round, state_episode
from tests.vision.test_latents import EPISODES
from worldmodels.common.params import UserError
from worldmodels.info import facts
from worldmodels.vision.files import save_vision
from worldmodels.vision.latents import LatentWriter
from worldmodels.vision.normaliser import StateNormaliser

AGENTS = Path(__file__).parents[1] / "agents"


def test_episodes(tmp_path: Path) -> None:
    before = tmp_path / "r0"
    before.mkdir()
    make_round(before, [])
    folder = tmp_path / "r1"
    manifest = make_round(folder, [[state_episode(4, 0), state_episode(9, 1)], [state_episode(6, 2)]], before)
    said = dict(facts(folder))
    assert said["episodes"] == "3 of x (states of 3, 2 continuous actions); round r1, collected after r0"
    assert said["steps"] == "19; 4 to 9, median 6 an episode"
    assert said["policies"] == "agent 2, random 1"
    assert f"{manifest['returns']['mean']:.1f}" in said["returns"]
    assert "0 of x" in dict(facts(before))["episodes"]


def test_latents(tmp_path: Path) -> None:
    with LatentWriter(tmp_path / "r1", spec=STATE_SPEC.to_dict(), source="abc") as writer:
        for one in EPISODES:
            writer.add(one)
    said = dict(facts(tmp_path / "r1"))
    assert said["latents"].startswith("3 episodes of x") and said["latents"].endswith("as z of 3")
    assert said["steps"].startswith("12; 1 to 7, median 4")
    assert said["source"] == "abc"


def test_a_model(tmp_path: Path) -> None:
    save_vision(tmp_path / "vae.safetensors", StateNormaliser(np.zeros(2, np.float32), np.ones(2, np.float32)))
    (name, text), *_ = facts(tmp_path)
    assert name == "normaliser" and "4 numbers" in text


@pytest.mark.parametrize("folder", sorted(AGENTS.iterdir()), ids=lambda path: path.name)
def test_an_agent(folder: Path) -> None:
    said = dict(facts(folder))
    assert {"agent", "score", "protocol", "data", "models", "code"} <= said.keys()


def test_anything_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither episodes, latents, a model nor an agent"):
        facts(tmp_path)


def test_damage_is_told(tmp_path: Path) -> None:
    make_round(tmp_path, [[state_episode(4, 0)]])
    (tmp_path / "shard-00000.h5").write_bytes(b"")
    with pytest.raises(UserError, match="damaged shard"):
        list(facts(tmp_path))
