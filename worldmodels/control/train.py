"""Evolving C: searches one after another, validation of their means, and a final among the best of these.

The search's own fitness is no measure: its noise is selected for, and a dream can be exploited. So now and then the
mean of the search plays fresh validation episodes, and the mean that does best there, not the last one, is the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.params import ParamError
from worldmodels.common.progress import progress
from worldmodels.common.seeding import Role, numpy_rng
from worldmodels.control.cmaes import CMAES
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, TrainedController
from worldmodels.control.fitness import Fitness, Scores
from worldmodels.control.progress import Candidate, Metrics, Place, Progress, Search, plan

Log = Callable[[int, Mapping[str, float]], None]

MAX_SAMPLES = 16


def train_controller(
    controller: Controller,
    config: ControllerConfig,
    fitness: Mapping[Place, Fitness],
    *,
    seed: int,
    stream: Sequence[str | int] = (),
    previous: TrainedController | None = None,
    scratch: Scratch,
    log: Log,
) -> TrainedController:
    """Evolve C. A run that was killed goes on from ``scratch`` to the same result.

    Args:
        fitness: the places where candidates are scored; those that ``config`` names.
        seed: the run's; ``stream`` names the round.
        previous: the round before's controller, to be recorded as such; with ``config.warm_start`` also to start from
            and to be beaten.
        log: takes (generations made, metrics): ``fitness_mean``, ``_std`` and ``_best`` over the candidates,
            ``length_mean``, ``sigma``, ``non_finite``, ``env_steps``; ``validation_mean`` and ``validation_best`` where
            a mean was validated, ``final_mean`` at the end.

    Raises:
        ParamError: ``previous`` is a controller of another shape.
    """
    if previous is not None and previous.controller != controller:
        raise ParamError(
            f"controller: the previous round's has widths {list(previous.controller.widths)}, this one"
            f" {list(controller.widths)}; they have to be alike in all rounds"
        )
    state = scratch.load()
    progress = Progress() if state is None else Progress.restore(state)
    for step, metrics in progress.history:
        log(step, metrics)
    return _Run(controller, config, fitness, seed, tuple(stream), previous, scratch, log, progress).run()


@dataclass
class _Run:
    controller: Controller
    config: ControllerConfig
    fitness: Mapping[Place, Fitness]
    seed: int
    stream: tuple[str | int, ...]
    previous: TrainedController | None
    scratch: Scratch
    log: Log
    progress: Progress

    def run(self) -> TrainedController:
        searches = plan(self.config, warm=self.config.warm_start and self.previous is not None)
        total = sum(search.generations for search in searches)
        with progress(total=total, initial=self.progress.step, desc="controller", unit="gen") as bar:
            while self.progress.search < len(searches) and not self._target_reached():
                self._generation(searches[self.progress.search])
                bar.update()
                if self.progress.step % self.config.checkpoint_every == 0:
                    self.scratch.save(self.progress.state())
        return self._result(self._final())

    def _target_reached(self) -> bool:
        target, pool = self.config.target, self.progress.pool
        return target is not None and bool(pool) and pool[0].value >= target

    def _generation(self, search: Search) -> None:
        at = self.progress
        cmaes = at.cmaes = at.cmaes or self._begin(search)
        solutions = cmaes.ask()  # (P, N)
        scores = self.fitness[search.place](
            solutions, self.config.rollouts, Role.FITNESS, *self.stream, at.search, at.generation
        )
        at.env_steps += scores.env_steps
        non_finite = cmaes.tell(solutions, scores.returns.mean(axis=1))
        at.generation, at.step = at.generation + 1, at.step + 1
        metrics = _summary(scores) | {"sigma": cmaes.sigma, "non_finite": float(non_finite)}
        if at.generation % self.config.validation_every == 0 or at.generation == search.generations:
            metrics |= self._validate(cmaes.mean, solutions[:MAX_SAMPLES])
        self._record(metrics)
        if at.generation == search.generations:
            at.search, at.generation, at.cmaes = at.search + 1, 0, None

    def _begin(self, search: Search) -> CMAES:
        start = np.zeros(self.controller.num_params)
        if search.start == "previous" and self.previous is not None:
            start = self.previous.best.double().numpy()
            self._record(self._validate(start, self.previous.samples.double().numpy()))  # to be beaten
        elif search.start == "best":
            start = self.progress.pool[0].solution
        return CMAES(
            start,
            self.config.sigma0 if search.start == "zero" else self.config.warm_sigma0,
            self.config.popsize,
            numpy_rng(self.seed, "cmaes", *self.stream, self.progress.search),
            diagonal=self.config.is_diagonal(self.controller.num_params),
        )

    def _validate(self, mean: NDArray[np.float64], samples: NDArray[np.float64]) -> Metrics:
        """Let the search's mean play; keep it if it is among the best so far."""
        at = self.progress
        scores = self._score(mean[None], self.config.validation_rollouts, "search", at.search, at.generation)
        value = _worth(scores)[0]
        pool = sorted([*at.pool, Candidate(value, mean, samples)], key=lambda one: -one.value)  # stable: first come
        at.pool = pool[: self.config.finalists]
        return {"validation_mean": value, "validation_best": at.pool[0].value}

    def _score(self, solutions: NDArray[np.float64], rollouts: int, *path: str | int) -> Scores:
        place = self.fitness[self.config.validate_in]
        scores = place(solutions, rollouts, Role.VALIDATE, *self.stream, *path)
        self.progress.env_steps += scores.env_steps
        return scores

    def _final(self) -> Candidate:
        """The best of the pool on seeds that none of them was chosen by."""
        pool = self.progress.pool
        if len(pool) == 1:
            return pool[0]
        scores = self._score(np.stack([one.solution for one in pool]), self.config.final_rollouts, "final")
        worth = _worth(scores)
        winner = int(np.argmax(worth))
        self.progress.step += 1  # a record of its own
        self._record({"final_mean": worth[winner]})
        return pool[winner]._replace(value=worth[winner])

    def _record(self, metrics: Metrics) -> None:
        metrics = metrics | {"env_steps": float(self.progress.env_steps)}
        self.progress.history.append((self.progress.step, metrics))
        self.log(self.progress.step, metrics)

    def _result(self, winner: Candidate) -> TrainedController:
        before = self.previous
        lineage = [] if before is None else [before.lineage, before.best[None]]
        return TrainedController(
            controller=self.controller,
            best=torch.from_numpy(winner.solution).float(),
            samples=torch.from_numpy(winner.samples).float(),
            validation_return=winner.value,
            lineage=torch.cat([torch.zeros(0, self.controller.num_params), *lineage]),
            env_steps=self.progress.env_steps + (before.env_steps if before else 0),
        )


def _worth(scores: Scores) -> list[float]:
    """Mean return of each candidate; nothing is worse than one whose dreams went astray."""
    means = scores.returns.mean(axis=1)
    return np.where(np.isfinite(means), means, -np.inf).tolist()


def _summary(scores: Scores) -> Metrics:
    worth = scores.returns.mean(axis=1)
    worth = worth[np.isfinite(worth)]
    worth = worth if worth.size else np.zeros(1)
    summary = {"fitness_mean": worth.mean(), "fitness_std": worth.std(), "fitness_best": worth.max()}
    return {name: float(value) for name, value in summary.items()} | {"length_mean": float(scores.lengths.mean())}
