"""The sequence of CMA-ES searches in the evolution of C, and its resumable state."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.control.cmaes import CMAES
from worldmodels.control.config import ControllerConfig

Place = Literal["dream", "real"]


@dataclass(frozen=True)
class Search:
    """One run of CMA-ES: its fitness, its number of generations and its start."""

    place: Place
    generations: int
    start: Literal["zero", "previous", "best"]


class Candidate(NamedTuple):
    """A validated mean: its validation return, and the mean itself (N,)."""

    value: float
    solution: NDArray[np.float64]


@dataclass
class SearchState:
    """The state that a resumed run needs.

    Attributes:
        search: index of the current search; generation: generations it has completed.
        step: generations completed by all searches.
        env_steps: real environment steps so far.
        cmaes: None between two searches.
        pool: the best validated means of the current search, best first.
        finalists: those of the searches before it.
        samples: candidates, (N,) each, from generations spread over all searches.
    """

    search: int = 0
    generation: int = 0
    step: int = 0
    env_steps: int = 0
    cmaes: CMAES | None = None
    pool: list[Candidate] = field(default_factory=list)
    finalists: list[Candidate] = field(default_factory=list)
    samples: list[NDArray[np.float64]] = field(default_factory=list)


def plan(config: ControllerConfig, *, warm: bool) -> list[Search]:
    """The searches to run; ``warm``: there is a controller to start from."""
    place: Place = "real" if config.fitness == "real" else "dream"
    searches = [Search(place, config.generations, "previous" if warm and config.start == "previous" else "zero")]
    if warm and config.fresh_generations:
        searches.append(Search(place, config.fresh_generations, "zero"))
    if config.fitness == "both" and config.real_generations:
        searches.append(Search("real", config.real_generations, "best"))
    return searches
