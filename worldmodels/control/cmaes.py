"""CMA-ES with an ask-and-tell interface; the only module that uses pycma.

By default pycma reseeds NumPy's global generator and draws from it. Here it draws from its own generator, which is
pickled with its state: other users of NumPy's generator do not affect it, and a restored search continues identically.
Source: Hansen, "The CMA Evolution Strategy: A Tutorial", 2016.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worldmodels.control.config import MIN_POPSIZE


class CMAES:
    """A maximising search. N parameters, P candidates per generation. It can be pickled between a tell and an ask.

    Args:
        mean: (N,) initial mean.
        sigma0: initial standard deviation of every parameter, > 0.
        popsize: candidates per generation, at least ``MIN_POPSIZE``.
        rng: the search's own stream.
        covariance: what is learned of it: all (``full``), its ``diagonal``, or nothing (``identity``); then sigma alone
            adapts. The latter two cost time and memory linear in N, not quadratic.
        max_sigma: the largest standard deviation of a parameter; 0: any.

    Raises:
        ValueError: ``popsize`` is too small.
    """

    def __init__(
        self,
        mean: NDArray[np.floating],
        sigma0: float,
        popsize: int,
        rng: np.random.Generator,
        covariance: Literal["full", "diagonal", "identity"] = "full",
        max_sigma: float = 0.0,
    ) -> None:
        if popsize < MIN_POPSIZE:
            raise ValueError(f"popsize = {popsize}: CMA-ES needs at least {MIN_POPSIZE}")
        options = {
            "popsize": popsize,
            "CMA_diagonal": covariance != "full",
            "CMA_on": covariance != "identity",
            "maxstd": max_sigma or math.inf,
            "randn": _Normal(rng),
            "seed": math.nan,  # any other value makes pycma seed the global generator
            "verbose": -10,  # silent, and ignores a cma_signals.in in the working folder
            "verb_log": 0,
        }
        import cma  # imported late: it imports matplotlib and scipy.stats, seconds at every worker's start

        self._search = cma.CMAEvolutionStrategy(np.asarray(mean, np.float64), sigma0, options)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(N,) the estimate. With noisy returns it is better than the best candidate seen, which was mostly lucky."""
        return np.array(self._search.mean)

    @property
    def sigma(self) -> float:
        """The overall step size."""
        return float(self._search.sigma)

    def ask(self) -> NDArray[np.float64]:
        """(P, N) candidates of the next generation. Call tell once after each ask."""
        return np.stack(self._search.ask())

    def tell(self, solutions: NDArray[np.float64], returns: NDArray[np.floating]) -> int:
        """Update the search towards higher returns.

        Args:
            solutions: (P, N) from ``ask``.
            returns: (P,) higher is better. A value that is not finite is replaced by the generation's worst.

        Returns:
            the number of values that were not finite.
        """
        finite = np.isfinite(returns)
        worst = returns[finite].min() if finite.any() else 0.0
        self._search.tell(list(solutions), (-np.where(finite, returns, worst)).tolist())  # pycma minimises
        return int((~finite).sum())


class _Normal:
    """``randn`` with its own generator, picklable with it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, *shape: int) -> NDArray[np.float64]:
        return self._rng.standard_normal(shape)
