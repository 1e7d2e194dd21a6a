"""Evolution of C: consecutive searches, validation of their means, and a final among the best of these.

The search's own fitness is a biased measure, since selection favours lucky noise. So the search's mean is validated at
intervals on fresh episodes of the same place; dreams cost no real steps. The best means of each search and the previous
round's controller then play a few real episodes, which no search has exploited, and the best of them is the result.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.progress import progress_bar
from worldmodels.common.seeding import Role, numpy_rng
from worldmodels.control.cmaes import CMAES
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, FeatureScale, TrainedController
from worldmodels.control.fitness import Fitness, Scores
from worldmodels.control.search import Candidate, Place, Search, SearchState, plan
from worldmodels.training import Checkpointer, Log, Metrics, TrainingError

MAX_SAMPLES = 64
DIAGONAL_ABOVE = 2000  # parameters; a full covariance costs 4 s per generation at 10,000


def train_controller(
    controller: Controller,
    config: ControllerConfig,
    fitness: Mapping[Place, Fitness],
    *,
    seed: int,
    stream: Sequence[str | int] = (),
    previous: TrainedController | None = None,
    scale: FeatureScale | None = None,
    scratch: Scratch,
    log: Log,
) -> TrainedController:
    """Evolve C. A killed run resumes from ``scratch`` and gives the same result.

    Args:
        fitness: the fitness functions by place; those that ``config`` names.
        seed: the run's; ``stream`` names the round.
        previous: the previous round's controller: the start of the search and a competitor in the selection.
        scale: search for C as a function of features in these units; the result is one of plain features.
        log: takes (generations completed, metrics): ``fitness_mean``, ``_std`` and ``_best`` over the candidates,
            ``length_mean``, ``sigma``, ``non_finite``, ``env_steps``; ``validation_mean`` and ``validation_best`` when
            a mean was validated, ``final_mean`` at the end.

    Raises:
        TrainingError: ``previous`` is a controller of another shape.
    """
    if previous is not None and previous.controller != controller:
        raise TrainingError(
            f"controller: the previous round's is {previous.controller}, this one {controller};"
            " they have to be alike in all rounds"
        )
    return _Run(controller, config, fitness, seed, tuple(stream), previous, scale, Checkpointer(scratch, log)).run()


class _Run:
    def __init__(
        self,
        controller: Controller,
        config: ControllerConfig,
        fitness: Mapping[Place, Fitness],
        seed: int,
        stream: tuple[str | int, ...],
        previous: TrainedController | None,
        scale: FeatureScale | None,
        checkpointer: Checkpointer,
    ) -> None:
        self.controller, self.config, self.fitness = controller, config, fitness
        self.seed, self.stream, self.previous, self.scale = seed, stream, previous, scale
        self.checkpointer = checkpointer
        self.searches = plan(config, warm=previous is not None)
        self.generations = sum(search.generations for search in self.searches)
        self.state = SearchState(**(checkpointer.restore() or {}))

    def run(self) -> TrainedController:
        with progress_bar(total=self.generations, initial=self.state.step, desc="controller", unit="gen") as bar:
            while self.state.search < len(self.searches):
                bar.set_postfix(fitness=self._generation(self.searches[self.state.search]))
                bar.update()
                self.checkpointer.save(vars(self.state))
        return self._result(self._final())

    def _generation(self, search: Search) -> float:
        """One generation; its mean fitness."""
        state = self.state
        cmaes = state.cmaes = state.cmaes or self._begin(search)
        found = cmaes.ask()  # (P, N)
        solutions = self._plain(found)
        rollouts = self.config.rollouts if search.place == "dream" else self.config.real_rollouts
        scores = self.fitness[search.place](
            solutions, rollouts, Role.FITNESS, *self.stream, state.search, state.generation
        )
        state.env_steps += scores.env_steps
        non_finite = cmaes.tell(found, scores.returns.mean(axis=1))
        if state.step % -(-self.generations // MAX_SAMPLES) == 0:
            state.samples.append(solutions[0])
        state.generation, state.step = state.generation + 1, state.step + 1
        metrics = _summary(scores) | {"sigma": cmaes.sigma, "non_finite": float(non_finite)}
        if state.generation % self.config.validation_every == 0 or state.generation == search.generations:
            metrics |= self._validate(search.place, self._plain(cmaes.mean[None])[0])
        self._record(metrics)
        if state.generation == search.generations:
            state.search, state.generation, state.cmaes = state.search + 1, 0, None
            state.finalists, state.pool = [*state.finalists, *state.pool], []
        return metrics["fitness_mean"]

    def _begin(self, search: Search) -> CMAES:
        start = np.zeros(self.controller.num_params)
        if search.start == "previous" and self.previous is not None:
            start = self._scaled(self.previous.best)
        elif search.start == "best":
            best = _best(self.state.finalists).solution
            self.state.finalists = []  # returns of another place do not compare
            self._record(self._validate(search.place, best))
            start = self._scaled(best)
        covariance = self.config.covariance
        if covariance == "auto":
            covariance = "diagonal" if self.controller.num_params > DIAGONAL_ABOVE else "full"
        return CMAES(
            start,
            self.config.sigma0 if search.start == "zero" else self.config.warm_sigma0,
            self.config.popsize,
            numpy_rng(self.seed, "cmaes", *self.stream, self.state.search),
            covariance,
            self.config.max_sigma,
        )

    def _plain(self, found: NDArray[np.float64]) -> NDArray[np.floating]:
        """Controllers (P, N) of plain features, of those in which CMA-ES searches."""
        return found if self.scale is None else self.scale.to_plain(self.controller, found)

    def _scaled(self, solution: NDArray[np.floating]) -> NDArray[np.float64]:
        """One controller (N,) in the space that CMA-ES searches."""
        row = solution[None] if self.scale is None else self.scale.from_plain(self.controller, solution[None])
        return row[0].astype(np.float64)

    def _validate(self, place: Place, mean: NDArray[np.floating]) -> Metrics:
        """Validate the search's mean; keep it if it is among the best so far."""
        state, rollouts = self.state, self.config.validation_rollouts
        scores = self._score(place, mean[None], rollouts, "search", state.search, state.generation)
        value = _worth(scores)[0]
        # stable sort: of equal returns the earlier stays first
        pool = sorted([*state.pool, Candidate(value, mean.astype(np.float64))], key=lambda candidate: -candidate.value)
        state.pool = pool[: self.config.finalists]
        return {"validation_mean": value, "validation_best": state.pool[0].value}

    def _score(self, place: Place, solutions: NDArray[np.floating], rollouts: int, *path: str | int) -> Scores:
        scores = self.fitness[place](solutions, rollouts, Role.VALIDATE, *self.stream, *path)
        self.state.env_steps += scores.env_steps
        return scores

    def _final(self) -> Candidate:
        """Select among the finalists and the previous controller, in reality, on seeds that selected none of them."""
        pool = self.state.finalists
        if self.config.finalists == 1:
            return _best(pool)
        if self.previous is not None:
            pool = [*pool, Candidate(self.previous.validation_return, self.previous.best.astype(np.float64))]
        solutions = np.stack([candidate.solution for candidate in pool])
        scores = self._score("real", solutions, self.config.final_rollouts, "final")
        worth = _worth(scores)
        winner = int(np.argmax(worth))
        self.state.step += 1  # a log record of its own
        self._record({"final_mean": worth[winner]})
        return pool[winner]._replace(value=worth[winner])

    def _record(self, metrics: Metrics) -> None:
        metrics = metrics | {"env_steps": float(self.state.env_steps)}
        self.checkpointer.log(self.state.step, metrics)

    def _result(self, winner: Candidate) -> TrainedController:
        before = self.previous
        lineage = [] if before is None else [before.lineage, before.best[None]]
        return TrainedController(
            controller=self.controller,
            best=winner.solution.astype(np.float32),
            samples=np.stack(self.state.samples).astype(np.float32),
            validation_return=winner.value,
            lineage=np.concatenate([np.zeros((0, self.controller.num_params), np.float32), *lineage]),
            env_steps=self.state.env_steps + (before.env_steps if before else 0),
        )


def _best(candidates: list[Candidate]) -> Candidate:
    return max(candidates, key=lambda candidate: candidate.value)  # the earlier of equal ones


def _worth(scores: Scores) -> list[float]:
    """Mean return of each candidate; -inf if one of its dreams diverged."""
    means = scores.returns.mean(axis=1)
    return np.where(np.isfinite(means), means, -np.inf).tolist()


def _summary(scores: Scores) -> Metrics:
    worth = scores.returns.mean(axis=1)
    worth = worth[np.isfinite(worth)]
    worth = worth if worth.size else np.zeros(1)
    summary = {"fitness_mean": worth.mean(), "fitness_std": worth.std(), "fitness_best": worth.max()}
    return {name: float(value) for name, value in summary.items()} | {"length_mean": float(scores.lengths.mean())}
