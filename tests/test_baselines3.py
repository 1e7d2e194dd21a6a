"""Tests that Stable-Baselines3 takes an agent for a policy, and a dream for an environment."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from worldmodels import load_agent
from worldmodels.dreams import ID

AGENTS = Path(__file__).parents[1] / "agents"

pytest.importorskip("stable_baselines3")


@pytest.mark.parametrize("name", ["lunarlander", "lunarlander_continuous"])
def test_its_evaluation_scores_an_agent(name: str) -> None:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    agent = load_agent(AGENTS / name)
    envs = make_vec_env(agent.make_env, n_envs=3, seed=5)
    returns, lengths = evaluate_policy(agent, envs, n_eval_episodes=6, return_episode_rewards=True, warn=False)  # pyright: ignore[reportArgumentType]
    assert np.mean(returns) > 150 and np.min(lengths) > 50  # random: -180


def test_where_an_episode_begins_memory_does() -> None:
    agent = load_agent(AGENTS / "carracing")
    frames = np.random.default_rng(0).integers(256, size=(2, 64, 64, 3), dtype=np.uint8)
    _, first = agent.predict(frames, deterministic=True)
    _, second = agent.predict(frames, first, deterministic=True)
    _, again = agent.predict(frames, second, np.array([True, False]), deterministic=True)
    assert first is not None and second is not None and again is not None
    assert np.array_equal(again[0][0], first[0][0])
    assert not np.array_equal(again[0][1], first[0][1]) and not np.array_equal(second[0][0], first[0][0])


def test_its_checker_accepts_a_dream_and_ppo_trains_in_it() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env

    env = gym.make(f"worldmodels.dreams:{ID}", agent=AGENTS / "lunarlander", features="z", horizon=60)
    check_env(env, warn=False)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu").learn(128)
    assert model.num_timesteps == 128
