"""The sizes of Ha & Schmidhuber (2018) for CarRacing, and the FLOP of a step of each model."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.stats import WorldStats
from worldmodels.records import LatentEpisode
from worldmodels.vision.latents import LatentStore, LatentWriter

Z, A, D, K = 32, 3, 256, 5
POPSIZE, ROLLOUTS = 64, 16
CONTROLLER_PARAMS = (Z + D + 1) * A  # 867

DREAM_FLOP = 2 * ((Z + A + D) * 4 * D + D * 3 * K * Z)  # per step: the LSTM's gates and the mixture's outputs
MEMORY_TRAINING_FLOP = 3 * DREAM_FLOP  # per step, forward and backward
ENCODER_FLOP = 2 * sum(
    side**2 * fan_out * fan_in * 4**2
    for side, fan_in, fan_out in ((31, 3, 32), (14, 32, 64), (6, 64, 128), (2, 128, 256))
)
DECODER_FLOP = 2 * sum(
    side**2 * fan_in * fan_out * size**2
    for side, fan_in, fan_out, size in ((1, 1024, 128, 5), (5, 128, 64, 5), (13, 64, 32, 6), (30, 32, 3, 6))
)
VAE_TRAINING_FLOP = 3 * (ENCODER_FLOP + DECODER_FLOP)  # per frame


def memory(*, hidden_dim: int = D, device: torch.device | None = None) -> MDNRNN:
    """M with initial weights and no terminations: dreams of full length."""
    torch.manual_seed(0)
    stats = WorldStats(Z, terminated_rate=0.0)
    return MDNRNN(MDNRNNConfig(hidden_dim=hidden_dim, num_mixtures=K), Z, A, stats).to(device).eval()


def act(solutions: Tensor, features: Tensor) -> Tensor:
    """The linear controller of eq. (1) for many candidates: (P, N) and (P, R, F) to (P, R, A)."""
    weight, bias = solutions[:, : (Z + D) * A].view(-1, A, Z + D), solutions[:, (Z + D) * A :, None]
    return torch.tanh(torch.baddbmm(bias, weight, features.mT).mT)


def solutions() -> Tensor:
    """A generation's candidates, (P, N)."""
    return 0.1 * torch.randn(POPSIZE, CONTROLLER_PARAMS, generator=torch.Generator().manual_seed(0))


def frames(count: int) -> np.ndarray:
    """(count, 64, 64, 3) uint8 random frames."""
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


def latents(folder: Path, episodes: int, steps: int) -> LatentStore:
    """A store of random encoded episodes."""
    rng = np.random.default_rng(0)
    spec = {"observation": "pixel"}
    with LatentWriter(folder, spec=spec, source="") as writer:
        for _ in range(episodes):
            mu, logvar = rng.standard_normal((2, steps + 1, Z), np.float32)
            ends = np.arange(steps) == steps - 1
            writer.add(
                LatentEpisode(
                    mu=mu,
                    logvar=logvar - 4,
                    action=rng.uniform(-1, 1, (steps, A)).astype(np.float32),
                    reward=rng.standard_normal(steps, np.float32),
                    terminated=ends,
                    truncated=np.zeros(steps, bool),
                )
            )
    return LatentStore(folder)
