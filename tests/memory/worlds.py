"""Small recorded episodes for the tests of M."""

from pathlib import Path

import numpy as np
import torch

from tests.runs import every
from worldmodels.common.checkpoint import Scratch
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.files import save_memory
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.train import train_memory
from worldmodels.records import LatentEpisode
from worldmodels.vision.base import LOGVAR_EXACT
from worldmodels.vision.latents import LatentStore, LatentWriter

SMALL = MDNRNNConfig(
    hidden_dim=8,
    num_mixtures=2,
    ensemble_size=2,
    head_hidden_dim=16,
    learning_rate=1e-2,
    batch_size=4,
    sequence_length=8,
    epochs=2,
)


def walk(seed: int, limit: int = 60) -> LatentEpisode:
    """A walk on a line: z = [x, x > 0]; the two actions move x by ±0.2, the reward is the move; past 1 it terminates.

    The terminating step pays 10. After ``limit`` steps the walk is truncated.
    """
    rng = np.random.default_rng(seed)
    x, action, reward = [float(rng.uniform(-0.5, 0.5))], [], []
    while x[-1] <= 1 and len(action) < limit:
        move = int(rng.integers(2))
        action.append(np.eye(2)[move])
        x.append(x[-1] + (0.2 if move else -0.2))
        reward.append(10.0 if x[-1] > 1 else x[-1] - x[-2])
    mu = np.stack((x, np.greater(x, 0)), 1).astype(np.float32)
    last = np.arange(len(action)) == len(action) - 1
    return LatentEpisode(
        mu=mu,
        logvar=np.full_like(mu, LOGVAR_EXACT),
        action=np.array(action, np.float32),
        reward=np.array(reward, np.float32),
        terminated=last & (x[-1] > 1),
        truncated=last & (x[-1] <= 1),
    )


def counting(length: int, number: int = 0, logvar: float = LOGVAR_EXACT) -> LatentEpisode:
    """z at t is [number, t], action and reward are t: each row identifies itself."""
    t = np.arange(length + 1, dtype=np.float32)
    mu = np.stack((np.full_like(t, number), t), 1)
    last = np.arange(length) == length - 1
    return LatentEpisode(mu, np.full_like(mu, logvar), t[:-1, None], t[:-1], last, np.zeros_like(last))


def make_store(folder: Path, episodes: list[LatentEpisode], observation: str = "state") -> LatentStore:
    """The episodes as a store."""
    with LatentWriter(folder, spec={"observation": observation}, source="test") as writer:
        for episode in episodes:
            writer.add(episode)
    return LatentStore(folder)


def walks(folder: Path, count: int = 20) -> LatentStore:
    """A store of walks."""
    return make_store(folder, [walk(seed) for seed in range(count)])


def train(
    root: Path,
    config: MDNRNNConfig = SMALL,
    *,
    store=None,
    log=lambda step, metrics: None,
    checkpoint_every: int = 1,
    **more,
) -> MDNRNN:
    """Train a small M on walks and save it in ``root``, with its scratch in ``root``/scratch."""
    with every(checkpoint=checkpoint_every):
        memory = train_memory(
            store or walks(root / "latents"),
            config,
            scratch=Scratch(root / "scratch", "mdnrnn", "0" * 16),
            log=log,
            device=torch.device("cpu"),
            **{"seed": 0, **more},
        )
    save_memory(root / "mdnrnn", memory)
    return memory


def model_bytes(root: Path) -> bytes:
    """The bytes of what ``train`` saved."""
    return (root / "mdnrnn").read_bytes()
