"""Benchmark of the stage collect on CarRacing, including writing the shards."""

import tempfile
from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np
import torch

from benchmarks.measure import Result, Way, compare, single_threaded
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.runtime import RuntimeConfig, run_tasks
from worldmodels.common.seeding import Role, env_seeds
from worldmodels.environment.collect import collect
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import score

STOCK = EnvConfig(id="CarRacing-v3", crop=[0, 84, 0, 96])
FAST = EnvConfig(id="worldmodels.environment.carracing:worldmodels/CarRacing-v3", crop=[0, 84, 0, 96])
SHARDS, EPISODES, STEPS = 2, 2, 150  # one shard per worker, episodes per shard, steps per episode


def run(device: torch.device) -> list[Result]:  # noqa: ARG001 (always on the CPU)
    """Against one stock environment in one process, and against workers that store nothing."""
    ways = {"ours": ours(), "naive": single_threaded(naive), "limit": unstored}
    note = f"{RuntimeConfig().worker_count()} workers; one stock process, npz; the same workers storing nothing"
    return [compare("collect", ways, unit="steps/s", note=note, repeats=3)]


def ours() -> Way:
    """The project's collection."""
    home = tempfile.TemporaryDirectory()
    config = CollectConfig(max_steps=STEPS, episodes_per_shard=EPISODES, envs_per_task=EPISODES)
    seeds = env_seeds(Role.COLLECT, SHARDS * EPISODES)

    def work() -> float:
        folder = Path(home.name)
        policy = RandomPolicy(spec_of(FAST))
        manifest = collect(
            FAST,
            config,
            [policy] * len(seeds),
            seeds,
            runtime=RuntimeConfig(),
            folder=folder / "r1",
            previous=None,
            scratch=Scratch(folder, "collect", "benchmark"),
        )
        return manifest["steps"]

    return work


def unstored() -> float:
    """The same episodes in the same workers, with frames discarded."""
    seeds = env_seeds(Role.COLLECT, SHARDS * EPISODES)
    tasks = [seeds[i : i + EPISODES] for i in range(0, len(seeds), EPISODES)]
    return sum(run_tasks(_play, tasks, RuntimeConfig(), desc="unstored"))


def _play(seeds: list[int]) -> int:
    return sum(episode.length for episode in score(FAST, RandomPolicy(spec_of(FAST)), seeds, STEPS))


def naive() -> float:
    """One stock environment, one episode after the other, each saved as npz, as in most ports."""
    env = gym.make("CarRacing-v3")
    with tempfile.TemporaryDirectory() as folder:
        for seed in env_seeds(Role.COLLECT, EPISODES):
            obs, frames, actions, rewards = env.reset(seed=seed)[0], [], [], []
            for _ in range(STEPS):
                action = env.action_space.sample()
                frames.append(cv2.resize(obs[:84], (64, 64)))
                obs, reward, *_ = env.step(action)
                actions.append(action)
                rewards.append(reward)
            np.savez_compressed(Path(folder) / f"{seed}.npz", obs=frames, action=actions, reward=rewards)
    env.close()
    return EPISODES * STEPS
