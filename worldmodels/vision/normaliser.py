"""V of state environments: no network, z is the normalised state."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worldmodels.vision.base import LOGVAR_EXACT, Vision

STD_FLOOR = 1e-3  # a dimension that hardly varies in the data must not become a magnifying glass


class StateNormaliser(Vision):
    """z = (x - mean) / std, exactly; binary dimensions are left as they are, 0 or 1.

    Attributes:
        mean, std: (S,) float32 in the environment's units. On binary dimensions they are 0 and 1.
    """

    kind = "normaliser"
    mean: Tensor
    std: Tensor

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.register_buffer("mean", torch.zeros(z_dim))
        self.register_buffer("std", torch.ones(z_dim))

    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, S) float32 to (mu, logvar), both (B, S) float32; logvar is ``LOGVAR_EXACT``."""
        mu = (obs.float() - self.mean) / self.std
        return mu, torch.full_like(mu, LOGVAR_EXACT)

    def decode(self, z: Tensor) -> Tensor:
        """(B, S) to states (B, S) in the environment's units."""
        return z * self.std + self.mean

    def settings(self) -> dict[str, Any]:
        """The number of dimensions."""
        return {"z_dim": self.z_dim}


def fit_normaliser(statistics: Mapping[str, Any]) -> StateNormaliser:
    """The normaliser of a data set.

    Args:
        statistics: ``mean`` and ``std``, a number per dimension in the environment's units, and ``binary``, the
            indices of the dimensions that are only ever 0 or 1.
    """
    normaliser = StateNormaliser(len(statistics["mean"]))
    normaliser.mean.copy_(torch.tensor(statistics["mean"]))
    normaliser.std.copy_(torch.tensor(statistics["std"])).clamp_(min=STD_FLOOR)
    binary = list(statistics["binary"])
    normaliser.mean[binary] = 0.0
    normaliser.std[binary] = 1.0
    return normaliser
