"""Fitness of candidates: their returns in dreams or in the real environment.

Within one call all candidates have the same starts and the same noise (common random numbers), so that their ranking
does not depend on luck; every ``path`` of a call selects another stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.runtime import RuntimeConfig, run_tasks
from worldmodels.common.seeding import Role, env_seeds, torch_rng
from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamResult, DreamStart, Noise
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.rollout import Score, score
from worldmodels.memory.mdnrnn import MDNRNN


class Scores(NamedTuple):
    """The rollouts of P candidates.

    Attributes:
        returns: (P, R) float64, unscaled; not finite where a dream diverged.
        lengths: (P, R) int64, steps.
        env_steps: number of real environment steps used; 0 for dreams.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    env_steps: int


class Fitness(Protocol):
    """Scores candidates."""

    def __call__(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> Scores:
        """Run rollouts of every candidate.

        Args:
            solutions: (P, N).
            rollouts: R, episodes per candidate.
            role: purpose of the seeds; different roles never share a seed.
            path: names the call's random numbers, the same for all candidates.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class DreamFitness:
    """Returns in the dream.

    On an accelerator all candidates are one batch; on CPUs the batch is split into fixed parts, one task each, since
    one thread per worker is faster than threads that share a small matrix product.

    Attributes:
        dream: the simulator; its features are the controller's.
        controller: the shape of C.
        runtime: workers.
        seed: the run's.
        candidates_per_task: candidates in one worker's batch.
    """

    dream: Dream
    controller: Controller
    runtime: RuntimeConfig
    seed: int
    candidates_per_task: int = 32

    def __call__(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> Scores:
        result = self.run(solutions, rollouts, role, *path)
        return Scores(result.returns.double().cpu().numpy(), result.lengths.cpu().numpy(), 0)

    def run(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> DreamResult:
        """The dreams that a call scores."""
        rows = torch.as_tensor(solutions, dtype=torch.float32)
        start, noise = self.dream.draw(
            rollouts, torch_rng(self.seed, role.name, "dream", *path)
        )  # of R, of (horizon, R)
        if start.z.device.type != "cpu":
            return self.dream.run(self.controller.act, rows.to(start.z.device), start, noise)
        dream = partial(_dream, self.dream.memory, self.dream.config, self.controller, start, noise)
        tasks = [part.clone() for part in rows.split(self.candidates_per_task)]  # a view is pickled with all rows
        parts = list(run_tasks(dream, tasks, self.runtime, desc="dream"))
        return DreamResult(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _dream(
    memory: MDNRNN, config: DreamConfig, controller: Controller, start: DreamStart, noise: Noise, solutions: Tensor
) -> DreamResult:
    dream = Dream(memory, None, config, controller.features)
    return dream.run(controller.act, solutions, start, noise)


@dataclass(frozen=True, kw_only=True)
class RealFitness:
    """Returns in the real environment, with episodes run in worker processes.

    Attributes:
        env: the environment.
        agent: V, M and C's shape, on the CPU; the candidates are its solutions.
        runtime: workers.
        seed: the run's.
        episodes_per_task: episodes that one worker runs as a batch; the content of a task does not depend on the number
            of workers.
    """

    env: EnvConfig
    agent: Agent
    runtime: RuntimeConfig
    seed: int
    episodes_per_task: int = 32

    def __call__(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> Scores:
        seeds = env_seeds(role, rollouts, self.seed, *path)
        play = partial(_play, self.env, self.agent)
        tasks = list(self._tasks(solutions, seeds))
        scores = [episode for part in run_tasks(play, tasks, self.runtime, desc="rollouts") for episode in part]
        shape = (len(solutions), rollouts)
        lengths = np.array([episode.length for episode in scores], np.int64).reshape(shape)
        returns = np.array([episode.episode_return for episode in scores], np.float64).reshape(shape)
        return Scores(returns, lengths, int(lengths.sum()))

    def _tasks(self, solutions: NDArray[np.floating], seeds: list[int]) -> Iterator["_PlayTask"]:
        rows = np.asarray(solutions, np.float32)
        players = np.repeat(np.arange(len(solutions)), len(seeds))  # (P·R,), grouped by candidate
        games = seeds * len(solutions)
        for i in range(0, len(games), self.episodes_per_task):
            part = slice(i, i + self.episodes_per_task)
            yield _PlayTask(rows[players[part]], games[part])


class _PlayTask(NamedTuple):
    solutions: NDArray[np.float32]  # (n, N), one row per episode
    seeds: list[int]


def _play(env: EnvConfig, agent: Agent, task: _PlayTask) -> list[Score]:
    return score(env, agent.with_solutions(task.solutions, assign="slot"), task.seeds)
