"""Tests of episodes that go to Minari and come back, and of runs that begin with others' recordings."""

import sys
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from tests.test_pipeline import checkout, ran, repro, run
from worldmodels import Round
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.params import UserError
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.environment.collect import collect, write_round
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.store import EpisodeStore
from worldmodels.minari import export, recorded


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps its data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def collected(tmp_path: Path, config: EnvConfig) -> Path:
    policy = RandomPolicy(spec_of(config))
    scratch, folder = Scratch(tmp_path / "scratch", "collect", "0" * 16), tmp_path / "r1"
    collect(
        config,
        CollectConfig(episodes_per_shard=16),
        [policy] * 40,
        range(40),
        runtime=RuntimeConfig(workers=1),
        folder=folder,
        previous=None,
        scratch=scratch,
    )
    return folder


@pytest.mark.parametrize("env_id", ["CountingState-v0", "CountingPixels-v0", "CountingBox-v0"])
def test_episodes_come_back_as_they_went(tmp_path: Path, env_id: str) -> None:
    config = EnvConfig(id=f"tests.environments:{env_id}", max_steps=12)
    folder = collected(tmp_path, config)
    data = export(folder, "counting/there-v0")
    assert (data.total_episodes, data.total_steps) == (40, 400)
    assert all(data.action_space.contains(action) for action in next(data.iterate_episodes()).actions)
    assert all(data.observation_space.contains(obs) for obs in next(data.iterate_episodes()).observations)

    write_round(tmp_path / "back", recorded("counting/there-v0", config), spec_of(config), 16)
    before, after = (list(EpisodeStore.open(path).episodes()) for path in (folder, tmp_path / "back"))
    assert len(before) == len(after) == 40
    for one, other in zip(before, after, strict=True):
        for name in ("obs", "action", "reward", "terminated", "truncated"):
            a, b = getattr(one, name), getattr(other, name)
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="Minari has such a data set already"):
        export(folder, "counting/there-v0")


def test_what_is_known_goes_along(tmp_path: Path) -> None:
    config = EnvConfig(id="tests.environments:Lives-v0", max_steps=12, truth={"lives": "lives", "count": "count"})
    folder = collected(tmp_path, config)
    export(folder, "counting/lives-v0")
    pairs = zip(EpisodeStore.open(folder).episodes(), recorded("counting/lives-v0", config), strict=True)
    for before, after in pairs:
        np.testing.assert_array_equal(before.truth, after.truth)
    with pytest.raises(UserError, match="lives: no name for a data set; accepted: NAME-v0"):
        export(folder, "lives")


def raw_data(name: str, config: EnvConfig, episodes: int = 8) -> None:
    """A data set as others record it: raw observations, cut off after seven steps without an end."""
    env, buffers = gym.make(config.id), []
    for seed in range(episodes):
        obs, actions, rewards = [env.reset(seed=seed)[0]], [], []
        for _ in range(7):
            actions.append(env.action_space.sample())
            seen, reward, *_ = env.step(actions[-1])
            obs.append(seen)
            rewards.append(float(reward))
        no = [False] * 7
        buffers.append(EpisodeBuffer(None, None, None, obs, actions, rewards, no, no, {}))
    seen, done = env.observation_space, env.action_space
    minari.create_dataset_from_buffers(name, buffers, observation_space=seen, action_space=done)


def test_others_raw_pictures_are_seen_as_the_environments_own(tmp_path: Path) -> None:
    config = EnvConfig(id="tests.environments:CountingPixels-v0", max_steps=12)
    raw_data("counting/raw-v0", config)
    episodes = list(recorded("counting/raw-v0", config))
    assert len(episodes) == 8
    for one in episodes:
        assert one.obs.shape == (8, 64, 64, 3) and one.obs.dtype == np.uint8
        np.testing.assert_array_equal(one.obs[:, 0, 0, 0], np.arange(8))
        assert one.truncated.tolist() == [False] * 6 + [True] and not one.terminated.any()


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    pictures = EnvConfig(id="tests.environments:CountingPixels-v0", max_steps=12)
    raw_data("counting/raw-v0", pictures)
    with pytest.raises(UserError, match=r"counting/raw-v0: observations are Box.*accepted: Box.*or \(3,\) float32"):
        list(recorded("counting/raw-v0", EnvConfig(id="tests.environments:CountingState-v0", max_steps=12)))
    with pytest.raises(UserError, match=r"of several frames; accepted: \(64, 64, 3\) uint8"):
        list(recorded("counting/raw-v0", EnvConfig(id=pictures.id, max_steps=12, frame_skip=4)))
    states = EnvConfig(id="tests.environments:CountingState-v0", max_steps=12)
    raw_data("counting/states-v0", states)
    with pytest.raises(UserError, match="of several frames"):
        list(recorded("counting/states-v0", EnvConfig(id=states.id, max_steps=12, frame_skip=2)))
    assert len(list(recorded("counting/states-v0", states))) == 8
    with pytest.raises(UserError, match="no/such-v0: Minari does not give it"):
        list(recorded("no/such-v0", pictures))


@pytest.mark.slow
def test_a_run_begins_with_others_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = EnvConfig(id="tests.environments:CountingState-v0", max_steps=12)
    export(collected(tmp_path, config), "counting/there-v0")
    given = [f"env.id={config.id}", "env.max_steps=12", "run.rounds=1", "collect.minari=counting/there-v0"]
    folder = checkout(tmp_path / "project", *given)
    assert "collect@r1" in ran(repro(folder, "controller@r1"))
    episodes = list(Round("r1", folder).episodes.episodes())
    assert len(episodes) == 40 and {one.policy for one in episodes} == {"minari"}
    done = run(folder, sys.executable, "-m", "worldmodels.minari", "import", "counting/there-v0", "taken")
    assert done.returncode == 0 and done.stdout == "taken: 40 episodes, 400 steps\n", done.stderr
    done = run(folder, sys.executable, "-m", "worldmodels.minari", "import", "counting/there-v0", "data")
    assert done.stderr == "error: data: is there already; an import makes a new folder\n"
    assert len(list(Round("r1", folder).episodes.episodes())) == 40
