"""CMA-ES behind ask and tell; the only module that knows pycma.

Left to itself pycma reseeds NumPy's global generator and draws from it. Here it draws from its own generator, which
travels with its state: foreign draws change nothing, and a search that was stored goes on as it would have.
Source: Hansen, "The CMA Evolution Strategy: A Tutorial", 2016.
"""

import math

import numpy as np
from numpy.typing import NDArray

from worldmodels.control.config import MIN_POPSIZE


class CMAES:
    """A search that maximises. N parameters, P candidates a generation. It can be pickled between a tell and an ask.

    Args:
        mean: (N,) where the search starts.
        sigma0: initial standard deviation of every parameter, > 0.
        popsize: candidates a generation, at least ``MIN_POPSIZE``.
        rng: the search's own stream.
        diagonal: keep the covariance diagonal: linear instead of quadratic in N, for thousands of parameters.

    Raises:
        ValueError: ``popsize`` is too small.
    """

    def __init__(
        self, mean: NDArray[np.floating], sigma0: float, popsize: int, rng: np.random.Generator, *, diagonal: bool
    ) -> None:
        if popsize < MIN_POPSIZE:
            raise ValueError(f"popsize = {popsize}: CMA-ES needs at least {MIN_POPSIZE}")
        options = {
            "popsize": popsize,
            "CMA_diagonal": diagonal,
            "randn": _Normal(rng),
            "seed": math.nan,  # any other value makes pycma seed the global generator
            "verbose": -10,  # silent, and blind to a cma_signals.in in the working folder
            "verb_log": 0,
        }
        import cma  # here, because it brings matplotlib and scipy.stats: seconds of every worker's start

        self._search = cma.CMAEvolutionStrategy(np.asarray(mean, np.float64), sigma0, options)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(N,) the estimate. Under noise it is worth more than the best candidate seen, which was above all lucky."""
        return np.array(self._search.mean)

    @property
    def sigma(self) -> float:
        """The overall step size."""
        return float(self._search.sigma)

    def ask(self) -> NDArray[np.float64]:
        """(P, N) candidates of the next generation. Each ask is answered by one tell."""
        return np.stack(self._search.ask())

    def tell(self, solutions: NDArray[np.float64], returns: NDArray[np.floating]) -> int:
        """Move the search towards the higher returns.

        Args:
            solutions: (P, N) as asked.
            returns: (P,) higher is better. One that is not finite counts as the generation's worst.

        Returns:
            how many were not finite.
        """
        finite = np.isfinite(returns)
        worst = returns[finite].min() if finite.any() else 0.0
        self._search.tell(list(solutions), (-np.where(finite, returns, worst)).tolist())  # pycma minimises
        return int((~finite).sum())


class _Normal:
    """``randn`` with a generator of its own, picklable with it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, *shape: int) -> NDArray[np.float64]:
        return self._rng.standard_normal(shape)
