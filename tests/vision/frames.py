"""Small frames for the tests of V, and a source of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.runs import every
from worldmodels.common.checkpoint import Scratch
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.files import save_vision
from worldmodels.vision.train import train_vision
from worldmodels.vision.vae import VAE

SMALL = VAEConfig(z_dim=4, width=2, learning_rate=1e-2, free_bits=0.0, batch_size=4, epochs=2)


def squares(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """(count, 64, 64, 3): a bright square at a random position on a dark ground."""
    frames = np.full((count, 64, 64, 3), 20, dtype=np.uint8)
    for frame, (row, column) in zip(frames, np.random.default_rng(seed).integers(0, 40, (count, 2)), strict=True):
        frame[row : row + 24, column : column + 24] = (240, 120, 200)
    return frames


class Squares:
    """A source of frames: ``batches`` training batches per epoch and one validation batch."""

    def __init__(self, batches: int = 5, size: int = 4) -> None:
        self.batches_per_epoch = batches
        self.size = size
        self.frames = squares(batches * size)
        self.held_out = squares(size, seed=1)
        self.mean_frame = self.frames.mean(0)

    def mean_distance(self, mean_frame: NDArray) -> NDArray:
        return np.abs(self.frames - mean_frame).max(-1).mean(0)

    def train_batches(self, epoch: int, start: int) -> Iterator[NDArray[np.uint8]]:
        order = np.random.default_rng(epoch).permutation(len(self.frames))
        return (self.frames[order[i * self.size :][: self.size]] for i in range(start, self.batches_per_epoch))

    def validation_batches(self) -> Iterator[NDArray[np.uint8]]:
        return iter([self.held_out])


def train(
    root: Path,
    config: VAEConfig = SMALL,
    *,
    source=None,
    log=lambda step, metrics: None,
    log_every: int = 2,
    checkpoint_every: int = 1,
    **more,
) -> VAE:
    """Train a small VAE and save it in ``root``, with its scratch in ``root``/scratch."""
    with every(log=log_every, checkpoint=checkpoint_every):
        vae = train_vision(
            source or Squares(),
            config,
            scratch=Scratch(root / "scratch", "vae", "0" * 16),
            log=log,
            device=torch.device("cpu"),
            **{"seed": 0, **more},
        )
    save_vision(root / "vae", vae)
    return vae


def model_bytes(root: Path) -> bytes:
    """The bytes of what ``train`` saved."""
    return (root / "vae").read_bytes()
