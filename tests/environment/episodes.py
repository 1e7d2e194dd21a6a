"""Synthetic episodes and rounds of them, without an environment."""

from pathlib import Path

import numpy as np

from worldmodels.environment.manifest import write_manifest
from worldmodels.environment.shard import write_shard
from worldmodels.environment.spec import EnvSpec
from worldmodels.records import Episode

PIXEL_SPEC = EnvSpec(id="x", observation="pixel", obs_shape=(64, 64, 3), action="discrete", action_dim=4)
STATE_SPEC = EnvSpec(
    id="x", observation="state", obs_shape=(3,), action="box", action_dim=2, action_low=(0, 0), action_high=(1, 1)
)


def pixel_episode(steps: int, seed: int) -> Episode:
    """Frames that identify themselves: red is the episode's seed, green the step, blue a texture."""
    obs = np.zeros((steps + 1, 64, 64, 3), np.uint8)
    obs[..., 0], obs[..., 2] = seed, np.arange(64)
    obs[..., 1] = np.arange(steps + 1)[:, None, None]
    return _episode(obs, np.random.default_rng(seed).integers(4, size=steps), seed)


def state_episode(steps: int, seed: int) -> Episode:
    """Two noisy dimensions and a binary one."""
    rng = np.random.default_rng(seed)
    obs = rng.normal([1, -5, 0], [2, 0.1, 0], (steps + 1, 3)).astype(np.float32)
    obs[:, 2] = rng.integers(2, size=steps + 1)
    return _episode(obs, rng.random((steps, 2), np.float32), seed)


def _episode(obs, action, seed):
    steps = len(action)
    end = np.arange(steps) == steps - 1
    reward = np.random.default_rng(seed).normal(size=steps).astype(np.float32)
    return Episode(obs, action, reward, end, np.zeros(steps, bool), seed, "random" if seed % 2 else "agent")


def make_round(folder: Path, shards: list[list[Episode]], previous: Path | None = None) -> dict:
    """A round as ``collect`` writes it."""
    spec = PIXEL_SPEC if not shards or shards[0][0].obs.ndim == 4 else STATE_SPEC
    paths = [folder / f"shard-{i:05d}.h5" for i in range(len(shards))]
    for path, episodes in zip(paths, shards, strict=True):
        write_shard(path, episodes)
    return write_manifest(folder, paths, round_name=folder.name, spec=spec, previous=previous)
