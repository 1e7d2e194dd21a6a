import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random

from tests.dream.oracle import Oracle, Origin, dream_of, push, rng
from worldmodels.dream.env import DreamEnv
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.mdnrnn import MDNRNN

BOX = gym.spaces.Box(-1.0, 1.0, (2,))


def one_hot(action) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[action]


def oracle_env(starts=None, ensemble_size=1, spread=0.0, **config) -> DreamEnv:
    return DreamEnv(dream_of(Oracle(ensemble_size, spread, edge=0.95), starts, **config), BOX, np.asarray)


@pytest.mark.parametrize("features", ["z", "zh"])
@pytest.mark.parametrize(("space", "encode"), [(BOX, np.asarray), (gym.spaces.Discrete(2), one_hot)])
def test_gymnasium_accepts_it(features, space, encode):
    torch.manual_seed(0)
    memory = MDNRNN(MDNRNNConfig(hidden_dim=8, num_mixtures=2, ensemble_size=2), 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|not having a spec).*")  # h and z are unbounded
        check_env(DreamEnv(dream_of(memory, features=features), space, encode))


def test_episode_follows_the_alignment_law():
    # h is the sum of all previous z, and the reward of a step is the sum of the z it starts from
    env = oracle_env(starts=Origin(spread=0.1), horizon=30)
    obs, _ = env.reset(seed=1)
    total = 0.0
    for _ in range(5):
        assert obs[2] == pytest.approx(total, abs=1e-5)
        z = obs[:2]
        obs, reward, *_ = env.step(np.array([0.01, -0.02], np.float32))
        assert reward == pytest.approx(z.sum(), abs=1e-5)
        assert obs[:2] == pytest.approx(z + np.array([0.01, -0.02]), abs=1e-5)
        total += z.sum()


def test_episode_equals_the_batched_dream():
    settings = {"starts": Origin(spread=0.1), "spread": 0.1, "horizon": 50}
    env, action = oracle_env(**settings), np.array([0.05, 0.0], np.float32)
    env.reset(seed=4)
    total, steps, over = 0.0, 0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(action)
        total, steps, over = total + reward, steps + 1, terminated or truncated
    generator = rng(int(np_random(4)[0].integers(2**63)))
    dream = dream_of(Oracle(spread=0.1, edge=0.95), Origin(spread=0.1), horizon=50)
    result = dream.returns(push, torch.from_numpy(action)[None], 1, generator)
    assert result.lengths.item() == steps
    assert result.returns.item() == pytest.approx(total, rel=1e-5)
    assert result.terminated.item()


def test_horizon_truncates():
    env = oracle_env(horizon=3)
    env.reset(seed=0)
    flags = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]


def test_end_terminates_with_the_terminal_reward():
    env = oracle_env(horizon=9)
    env.reset(seed=0)
    env.step(np.array([5.0, 0.0], np.float32))
    _, reward, terminated, truncated, _ = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, truncated) == (-100.0, True, False)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(2, np.float32))


def test_members_take_turns_and_member_0_is_heard():
    env, members = oracle_env(ensemble_size=3, horizon=9), set()
    for seed in range(30):
        env.reset(seed=seed)
        z = env.step(np.zeros(2, np.float32))[0][:2]
        total = env.step(np.zeros(2, np.float32))[0][2]
        assert total == pytest.approx(z.sum(), abs=1e-6)  # member e's own h is e + 1 times that
        members.add(round(float(z[0]) / 0.01))  # the drift of the simulating member
    assert members == {0, 1, 2}
