"""Comparison of controllers' dream returns with their known real returns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class DreamCheck(NamedTuple):
    """P controllers' returns in reality and in the dream. One with a return that is not finite is left out.

    Attributes:
        real, dream: (P',) mean returns.
        kept: (P,) bool, the controllers that were not left out.
        rank_correlation: Spearman's, in [-1, 1]: whether the dream ranks controllers as reality does. 0 if undefined:
            fewer than two controllers, or all returns equal.
        slope: of the least-squares line of dream over real returns; 1 is right, 0 tells nobody apart. 0 if undefined.
        mean_error: mean absolute difference, in the environment's units.
    """

    real: NDArray[np.float64]
    dream: NDArray[np.float64]
    kept: NDArray[np.bool_]
    rank_correlation: float
    slope: float
    mean_error: float


def dream_check(real: ArrayLike, dream: ArrayLike) -> DreamCheck:
    """Compare P controllers' mean returns in reality with those in the dream, both (P,)."""
    real, dream = np.asarray(real, np.float64), np.asarray(dream, np.float64)
    kept = np.isfinite(real) & np.isfinite(dream)
    real, dream = real[kept], dream[kept]
    error = float(np.abs(real - dream).mean()) if len(real) else 0.0
    if min(np.unique(real).size, np.unique(dream).size) < 2:
        return DreamCheck(real, dream, kept, 0.0, 0.0, error)
    from scipy import stats

    correlation = float(np.asarray(stats.spearmanr(real, dream))[0])
    return DreamCheck(real, dream, kept, correlation, float(np.polyfit(real, dream, 1)[0]), error)
