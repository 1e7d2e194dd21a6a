"""Mergeable statistics of states, per dimension; V's normaliser is fitted on them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def state_statistics(states: NDArray[np.float32]) -> dict[str, Any]:
    """Statistics of (N, S) states.

    Returns:
        count: N. mean, std, min, max: S floats each. binary: the dimensions whose values are all 0 or 1.
    """
    exact = states.astype(np.float64)
    return {
        "count": len(states),
        "mean": exact.mean(0).tolist(),
        "std": exact.std(0).tolist(),
        "min": exact.min(0).tolist(),
        "max": exact.max(0).tolist(),
        "binary": np.flatnonzero(np.isin(states, (0, 1)).all(0)).tolist(),
    }


def merge_statistics(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The statistics of the union of all parts.

    Raises:
        ValueError: there is no part.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("no statistics to merge")
    count = np.array([part["count"] for part in parts], np.float64)[:, None]  # (parts, 1)
    mean, std = (np.array([part[key] for part in parts]) for key in ("mean", "std"))  # (parts, S)
    total_mean = (count * mean).sum(0) / count.sum()
    variance = (count * (std**2 + (mean - total_mean) ** 2)).sum(0) / count.sum()  # within plus between the parts
    return {
        "count": int(count.sum()),
        "mean": total_mean.tolist(),
        "std": np.sqrt(variance).tolist(),
        "min": np.min([part["min"] for part in parts], axis=0).tolist(),
        "max": np.max([part["max"] for part in parts], axis=0).tolist(),
        "binary": sorted(set.intersection(*(set(part["binary"]) for part in parts))),
    }
