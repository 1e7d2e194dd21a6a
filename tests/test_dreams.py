"""Tests of the dream as a registered environment."""

import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodels import load_agent
from worldmodels.common.params import UserError
from worldmodels.dreams import ID

NAME = f"worldmodels.dreams:{ID}"
AGENTS = Path(__file__).parents[1] / "agents"


def dream(agent: str = "lunarlander", **options) -> gym.Env:
    return gym.make(NAME, agent=AGENTS / agent, disable_env_checker=True, **options)


@pytest.mark.parametrize("agent", ["lunarlander", "lunarlander_continuous"])
def test_gymnasium_accepts_it(agent: str) -> None:
    env = dream(agent, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|not having a spec|different from the unwrapped).*")
        check_env(env)


@pytest.mark.slow
@pytest.mark.parametrize("agent", sorted(path.name for path in AGENTS.iterdir()))
def test_a_shipped_agent_dreams_and_is_seen(agent: str) -> None:
    env = dream(agent, render_mode="rgb_array", horizon=30)
    env.reset(seed=3)
    frames = []
    for _ in range(3):
        env.step(env.action_space.sample())
        frames.append(np.asarray(env.render()))
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 and frame.std() > 1 for frame in frames)
    assert not np.array_equal(frames[0], frames[2])
    env.close()


def test_it_begins_where_reality_does() -> None:
    agent, env = load_agent(AGENTS / "lunarlander"), dream(features="z")
    starts = np.stack([env.reset(seed=seed)[0] for seed in range(20)])
    real = agent.make_env()
    mu = agent.policy.vision.encode(np.stack([real.reset(seed=seed)[0] for seed in range(20)]))[0]
    assert np.allclose(starts.mean(0), mu.mean(0), atol=4 * mu.std(0).max() / 20**0.5)


def test_a_seed_gives_the_same_dream() -> None:
    def played() -> list[float]:
        env = dream(horizon=20)
        env.reset(seed=7)
        return [float(env.step(2)[1]) for _ in range(10)]

    assert played() == played()


def test_several_at_once() -> None:
    envs = gym.make_vec(NAME, num_envs=2, vectorization_mode="sync", agent=AGENTS / "lunarlander", features="z")
    obs, _ = envs.reset(seed=1)
    assert obs.shape == (2, 8)
    assert envs.step(envs.action_space.sample())[0].shape == (2, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either"),
        ({"agent": "agents/none"}, "no such agent"),
        ({"agent": AGENTS / "pong", "horizon": 0}, "horizon"),
    ],
)
def test_what_cannot_be_dreamt_is_told(options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        gym.make(NAME, **options)
