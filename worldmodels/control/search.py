"""The searches that a run of C's evolution plans, and the state that it can be resumed from."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.control.cmaes import CMAES
from worldmodels.control.config import ControllerConfig

Place = Literal["dream", "real"]


@dataclass(frozen=True)
class Search:
    """One run of CMA-ES: where it is scored, how long, and what it starts from."""

    place: Place
    generations: int
    start: Literal["zero", "previous", "best"]


class Candidate(NamedTuple):
    """A mean that was validated: its return there, itself (N,), and the generation that led to it (S, N)."""

    value: float
    solution: NDArray[np.float64]
    samples: NDArray[np.float64]


@dataclass
class SearchState:
    """All that a resumed run needs.

    Attributes:
        search: number of the search that is under way; generation: how many it has made.
        step: generations that all searches made.
        env_steps: real environment steps so far.
        cmaes: None between two searches.
        pool: the best validated means, best first.
    """

    search: int = 0
    generation: int = 0
    step: int = 0
    env_steps: int = 0
    cmaes: CMAES | None = None
    pool: list[Candidate] = field(default_factory=list)


def plan(config: ControllerConfig, *, warm: bool) -> list[Search]:
    """The searches to make; ``warm``: there is a controller to start from."""
    place: Place = "real" if config.fitness == "real" else "dream"
    searches = [Search(place, config.generations, "previous" if warm else "zero")]
    if config.fitness == "both" and config.real_generations:
        searches.append(Search("real", config.real_generations, "best"))
    return searches
