"""Tests that the project accepts the example of a user-defined environment."""

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from environments.catch import COLUMNS, Catch
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import score

CONFIG = EnvConfig(id="environments.catch:Catch-v0")


def test_it_keeps_gymnasiums_contract():
    check_env(gym.make("Catch-v0", render_mode="rgb_array").unwrapped)


def test_following_the_ball_is_perfect_and_chance_is_not():
    env, rewards = Catch(), []
    for seed in range(30):
        env.reset(seed=seed)
        reward, ended = 0.0, False
        while not ended:
            _, reward, ended, _, _ = env.step(1 + np.sign(env.ball[1] - env.paddle))
        rewards.append(reward)
    assert rewards == [1.0] * 30
    spec = spec_of(CONFIG)
    assert (spec.observation, spec.action_dim, spec.solved_return) == ("pixel", 3, 0.9)
    random = [episode.episode_return for episode in score(CONFIG, RandomPolicy(spec), range(200))]
    assert -0.9 < np.mean(random) < 2 / COLUMNS
