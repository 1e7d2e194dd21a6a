"""Benchmark of loading frames for training V, in training order."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.collect import FAST
from benchmarks.measure import Result, Way, compare
from benchmarks.vae_train import BATCH
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.common.seeding import Role, env_seeds
from worldmodels.environment.collect import collect
from worldmodels.environment.config import CollectConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.frames import FrameLoader
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.store import EpisodeStore

EPISODES, STEPS = 24, 150
NAIVE_FRAMES = 100


def run(device: torch.device) -> list[Result]:  # noqa: ARG001 (always on the CPU)
    """Against opening an npz for every frame, and against copying frames from memory."""
    home = tempfile.TemporaryDirectory()
    folder = Path(home.name)
    store = recorded(folder)
    loader = FrameLoader(store, batch_size=BATCH)
    ways = {"ours": ours(loader), "naive": naive(store, folder / "npz"), "limit": limit(store)}
    note = "decoded and shuffled; an npz opened per frame; memory copied"
    result = compare("frames", ways, unit="frames/s", note=note)
    home.cleanup()
    return [result]


def recorded(folder: Path) -> EpisodeStore:
    """Frames of CarRacing, in shards."""
    seeds = env_seeds(Role.COLLECT, EPISODES)
    collect(
        FAST,
        CollectConfig(max_steps=STEPS, episodes_per_shard=EPISODES // 2, envs_per_task=4),
        [RandomPolicy(spec_of(FAST))] * EPISODES,
        seeds,
        runtime=RuntimeConfig(),
        folder=folder / "r1",
        previous=None,
        scratch=Scratch(folder, "frames", "benchmark"),
    )
    return EpisodeStore.open(folder / "r1")


def ours(loader: FrameLoader) -> Way:
    """One epoch."""
    return lambda: float(sum(len(batch) for batch in loader.train_batches(0)))


def naive(store: EpisodeStore, folder: Path) -> Way:
    """One file per episode, opened again for every frame of a shuffled data set."""
    folder.mkdir()
    for number, episode in enumerate(store.episodes()):
        np.savez_compressed(folder / f"{number}.npz", obs=episode.obs)
    rng = np.random.default_rng(0)

    def work() -> float:
        for _ in range(NAIVE_FRAMES):
            with np.load(folder / f"{rng.integers(len(store))}.npz") as file:
                file["obs"][rng.integers(STEPS)].copy()
        return NAIVE_FRAMES

    return work


def limit(store: EpisodeStore) -> Way:
    """Shuffled frames copied from memory that contains all of them."""
    frames = np.concatenate([episode.obs for episode in store.episodes()])
    order = np.random.default_rng(0).permutation(len(frames))

    def work() -> float:
        for i in range(0, len(order), BATCH):
            frames[order[i : i + BATCH]]
        return len(order)

    return work
