"""V of state environments: no network; z is the normalised state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.vision.base import LOGVAR_EXACT, Vision

STD_FLOOR = 1e-3  # do not amplify the noise of a dimension that hardly varies in the data


class StateNormaliser(Vision):
    """z = (x - mean) / std, exactly; binary dimensions keep their values, 0 or 1.

    Args:
        mean, std: (S,) float32 in the environment's units; 0 and 1 on binary dimensions.
    """

    kind = "normaliser"

    def __init__(self, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        self.z_dim = len(self.mean)

    def encode(self, obs: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """States (B, S) to (mu, logvar), both (B, S) float32; logvar is ``LOGVAR_EXACT``."""
        mu = (np.asarray(obs, np.float32) - self.mean) / self.std
        return mu, np.full_like(mu, LOGVAR_EXACT)

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, S) to states (B, S) in the environment's units."""
        return z * self.std + self.mean

    def map_to(self, other: "StateNormaliser") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(gain, offset), (S,) each: gain · z + offset is how ``other`` encodes what this one encodes as z.

        Both are 0 where ``other`` was fitted to a constant: what varies now would be enormous in its units.
        """
        std = np.where(other.std > STD_FLOOR, other.std, np.inf).astype(np.float64)
        return self.std / std, (self.mean - other.mean) / std

    def settings(self) -> dict[str, Any]:
        """Empty: ``weights`` define the normaliser completely."""
        return {}

    def weights(self) -> dict[str, NDArray]:
        """``mean`` and ``std``."""
        return {"mean": self.mean, "std": self.std}


def fit_normaliser(statistics: Mapping[str, Any]) -> StateNormaliser:
    """The normaliser of a data set.

    Args:
        statistics: ``mean`` and ``std``, a number per dimension in the environment's units, and ``binary``, the indices
            of the dimensions whose values are all 0 or 1.
    """
    mean = np.array(statistics["mean"], np.float32)
    std = np.maximum(np.array(statistics["std"], np.float32), np.float32(STD_FLOOR))
    binary = list(statistics["binary"])
    mean[binary], std[binary] = 0.0, 1.0
    return StateNormaliser(mean, std)
