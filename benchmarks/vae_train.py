"""Benchmark of training V at the paper's sizes: 100 frames per update."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import paper
from benchmarks.measure import Result, Way, apart, beside_products, compare
from worldmodels.common import shards
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import product_dtype
from worldmodels.common.params import Precision
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.train import train_vision

BATCH, UPDATES, STOCK_UPDATES = 100, 60, 15


def run(device: torch.device) -> list[Result]:
    """In float32, and in bfloat16 with hardware support; on a CPU also the effect of keeping freed memory."""
    results = [measure("vae_train_float32", device, "float32"), measure("vae_train", device, "auto")]
    return [*results, memory(device)] if device.type == "cpu" else results


def measure(path: str, device: torch.device, precision: Precision) -> Result:
    """Frames per second of one setting."""
    dtype, note = product_dtype(precision, device), "; stock layers in float32"
    ways = apart(ours, device, precision), apart(stock, device, precision), apart(stock, device, "float32")
    return beside_products(path, *ways, paper.VAE_TRAINING_FLOP, dtype, device, note, unit="frames/s", repeats=3)


def memory(device: torch.device) -> Result:
    """Frames per second with freed memory kept and, as ``naive``, without."""
    ways = {"ours": apart(ours, device, "auto"), "naive": apart(forgetful, device)}
    return compare("vae_train_memory", ways, unit="frames/s", note="freed memory kept; given back; -")


def forgetful(device: torch.device) -> Way:
    """``ours`` with the C library's default handling of freed memory."""
    shards.keep_memory = lambda: False
    return ours(device, "auto")


class _Frames:
    """The same batch repeatedly, and one frame for validation."""

    def __init__(self) -> None:
        self.batches_per_epoch = UPDATES
        self._frames = paper.frames(BATCH)
        self.mean_frame = self._frames.mean(0)

    def mean_distance(self, mean_frame: NDArray) -> NDArray:
        return np.abs(self._frames - mean_frame).max(-1).mean(0)

    def train_batches(self, epoch: int, start: int) -> Iterator[NDArray[np.uint8]]:  # noqa: ARG002 (all are equal)
        return (self._frames for _ in range(start, UPDATES))

    def validation_batches(self) -> Iterator[NDArray[np.uint8]]:
        return iter([self._frames[:1]])


def ours(device: torch.device, precision: Precision) -> Way:
    """The project's training, including its checkpoint."""
    source = _Frames()
    config = VAEConfig(padding=0, epochs=1, precision=precision)  # unpadded, as the stock layers are

    def work() -> float:
        with tempfile.TemporaryDirectory() as name:
            scratch = Scratch(Path(name), "vae", "benchmark")
            train_vision(source, config, seed=0, scratch=scratch, log=lambda *_: None, device=device)
        return BATCH * UPDATES

    return work


class Stock(nn.Module):
    """The paper's VAE with torch's layers, as in most ports."""

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


def stock(device: torch.device, precision: Precision) -> Way:
    """The plain loop, with torch's fused Adam."""
    vae = Stock().to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-4, fused=True)
    frames = torch.from_numpy(paper.frames(BATCH))
    bfloat16 = product_dtype(precision, device) == torch.bfloat16

    def work() -> float:
        for _ in range(STOCK_UPDATES):
            pixels = frames.permute(0, 3, 1, 2).contiguous().to(device).float() / 255
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = vae.loss(pixels)
            loss.backward()
            optimizer.step()
        return BATCH * STOCK_UPDATES

    return work
