"""Comparison of controllers' dream returns with their known real returns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.seeding import Role
from worldmodels.control.fitness import Fitness


class DreamCheck(NamedTuple):
    """Controllers' returns in reality and in the dream.

    Attributes:
        real, dream: (P,) mean returns.
        rank_correlation: Spearman's, in [-1, 1]: whether the dream ranks controllers as reality does. 0 if undefined:
            fewer than two controllers, or all returns equal. A controller with a non-finite dream return is excluded.
    """

    real: NDArray[np.float64]
    dream: NDArray[np.float64]
    rank_correlation: float


def dream_check(
    dream: Fitness, solutions: NDArray[np.floating], real_returns: Sequence[float], rollouts: int
) -> DreamCheck:
    """Compare controllers' known real returns with their returns in the dream.

    Args:
        dream: scores in the dream (``DreamFitness``).
        solutions: (P, N) controllers.
        real_returns: P mean returns in the real environment.
        rollouts: dreams of each controller.
    """
    real = np.asarray(real_returns, np.float64)
    dreamt = dream(solutions, rollouts, Role.CHECK).returns.mean(axis=1)
    return DreamCheck(real, dreamt, _rank_correlation(real, dreamt))


def _rank_correlation(real: NDArray[np.float64], dreamt: NDArray[np.float64]) -> float:
    finite = np.isfinite(dreamt)
    real, dreamt = real[finite], dreamt[finite]
    if min(np.unique(real).size, np.unique(dreamt).size) < 2:
        return 0.0
    from scipy import stats

    return float(np.asarray(stats.spearmanr(real, dreamt))[0])
