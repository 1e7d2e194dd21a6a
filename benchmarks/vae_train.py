"""Training V at the paper's sizes: 100 frames an update."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import paper
from benchmarks.measure import Result, Way, beside_products
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import product_dtype
from worldmodels.common.params import Precision
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.train import train_vision

BATCH, UPDATES, NAIVE_UPDATES = 100, 60, 10


def run(device: torch.device) -> list[Result]:
    """In float32, and in bfloat16 where the hardware has it."""
    results = [measure("vae_train_float32", device, "float32")]
    return [*results, measure("vae_train", device, "auto")]


def measure(path: str, device: torch.device, precision: Precision) -> Result:
    """Frames per second of one setting."""
    dtype, note = product_dtype(precision, device), "; stock layers in float32"
    ways = ours(device, precision), naive(device)
    return beside_products(path, *ways, paper.VAE_TRAINING_FLOP, dtype, device, note, unit="frames/s", repeats=3)


class _Frames:
    """One batch over and over, and one frame to validate on."""

    def __init__(self) -> None:
        self.batches_per_epoch = UPDATES
        self._frames = paper.frames(BATCH)
        self.mean_frame = self._frames.mean(0)

    def train_batches(self, epoch: int, start: int) -> Iterator[NDArray[np.uint8]]:  # noqa: ARG002 (all are alike)
        return (self._frames for _ in range(start, UPDATES))

    def validation_batches(self) -> Iterator[NDArray[np.uint8]]:
        return iter([self._frames[:1]])


def ours(device: torch.device, precision: Precision) -> Way:
    """The product's training, its checkpoint included."""
    source, config = _Frames(), VAEConfig(epochs=1, precision=precision)

    def work() -> float:
        with tempfile.TemporaryDirectory() as name:
            scratch = Scratch(Path(name), "vae", "benchmark")
            train_vision(source, config, seed=0, scratch=scratch, log=lambda *_: None, device=device)
        return BATCH * UPDATES

    return work


class Stock(nn.Module):
    """The paper's VAE out of torch's layers, as most ports of it have it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, 32, 4, 2), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU()),
            *(nn.Conv2d(64, 128, 4, 2), nn.ReLU(), nn.Conv2d(128, 256, 4, 2), nn.ReLU(), nn.Flatten()),
        )
        self.mu, self.logvar, self.expand = nn.Linear(1024, 32), nn.Linear(1024, 32), nn.Linear(32, 1024)
        self.decoder = nn.Sequential(
            *(nn.Unflatten(1, (1024, 1, 1)), nn.ConvTranspose2d(1024, 128, 5, 2), nn.ReLU()),
            *(nn.ConvTranspose2d(128, 64, 5, 2), nn.ReLU(), nn.ConvTranspose2d(64, 32, 6, 2), nn.ReLU()),
            *(nn.ConvTranspose2d(32, 3, 6, 2), nn.Sigmoid()),
        )

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 64, 64) to (mu, logvar)."""
        features = self.encoder(pixels)
        return self.mu(features), self.logvar(features)

    def loss(self, pixels: Tensor) -> Tensor:
        """Squared error and KL, per frame."""
        mu, logvar = self.encode(pixels)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        error = (self.decoder(self.expand(z)) - pixels).square().sum()
        return (error - 0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()) / len(pixels)


def naive(device: torch.device) -> Way:
    """The plain loop."""
    vae = Stock().to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-4)
    frames = torch.from_numpy(paper.frames(BATCH))

    def work() -> float:
        for _ in range(NAIVE_UPDATES):
            pixels = frames.permute(0, 3, 1, 2).contiguous().to(device).float() / 255
            optimizer.zero_grad()
            vae.loss(pixels).backward()
            optimizer.step()
        return BATCH * NAIVE_UPDATES

    return work
