"""How well what is known of the world can be read from z: the gate of V, and M's error in units that mean something."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1e-4  # of a standardised z: only to tell apart dimensions that V does not use


@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """A linear map from z to G known values.

    Attributes:
        weight: (Z, G). bias: (G,).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def read(self, z: NDArray) -> NDArray[np.float64]:
        """The values (…, G) read from z (…, Z)."""
        return z @ self.weight + self.bias


def probed(names: Sequence[str]) -> dict[int, str]:
    """The columns of ``truth`` that gates ask for, and their names: those that do not begin with an underscore."""
    return {column: name for column, name in enumerate(names) if not name.startswith("_")}


def fit_probe(z: NDArray, truth: NDArray) -> LinearProbe:
    """The least-squares probe of each value; a row counts for the values that are finite there.

    Args:
        z: (N, Z). truth: (N, G).
    """
    mean, std = z.mean(0, dtype=np.float64), z.std(0, dtype=np.float64)
    scaled = (z - mean) / np.where(std > 0, std, 1.0)
    columns = [_least_squares(scaled[known], value[known]) for value in truth.T for known in [np.isfinite(value)]]
    weight, bias = (np.stack(part, -1) for part in zip(*columns, strict=True))  # (Z, G), (G,)
    weight = weight / np.where(std > 0, std, 1.0)[:, None]
    return LinearProbe(weight=weight, bias=bias - mean @ weight)


def _least_squares(z: NDArray[np.float64], value: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not len(value):
        return np.zeros(z.shape[1]), np.array(np.nan)
    centre, middle = value.mean(dtype=np.float64), z.mean(0)
    moved = z - middle
    gram = moved.T @ moved + _RIDGE * len(value) * np.eye(z.shape[1])
    weight = np.linalg.solve(gram, moved.T @ (value - centre))
    return weight, np.asarray(centre - middle @ weight)


def r_squared(truth: NDArray, read: NDArray) -> NDArray[np.float64]:
    """Share of each value's variance that ``read`` explains, (G,), both (N, G): 1 is all, 0 none, below 0 is worse.

    Rows where a value is not finite do not count for it; NaN for a value that does not vary.
    """
    known = np.isfinite(truth)
    value = np.where(known, truth, 0.0).astype(np.float64)
    centre = value.sum(0) / np.maximum(known.sum(0), 1)
    error, spread = np.where(known, read - value, 0.0), np.where(known, value - centre, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - np.square(error).sum(0) / np.square(spread).sum(0)
