"""What a candidate is worth: its returns in dreams or in the real environment.

Within one call all candidates meet the same starts and the same chance (common random numbers), so that their ranking
is theirs and not luck's; every ``path`` of a call is another stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller
from worldmodels.dream import Dream, DreamConfig, DreamResult, Noise
from worldmodels.environment import EnvConfig, Score, score
from worldmodels.memory import MDNRNN
from worldmodels.runtime import RuntimeConfig, run_tasks
from worldmodels.seeding import Role, env_seeds, torch_rng


class Scores(NamedTuple):
    """P candidates' rollouts.

    Attributes:
        returns: (P, R) float64, unscaled; not finite where a dream went astray.
        lengths: (P, R) int64, steps.
        env_steps: steps of the real environment that this took; 0 for dreams.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    env_steps: int


class Fitness(Protocol):
    """Scores candidates."""

    def __call__(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> Scores:
        """Rollouts of every candidate.

        Args:
            solutions: (P, N).
            rollouts: R, episodes of each candidate.
            role: what for; different roles never share a seed.
            path: names the call's random numbers, the same for all candidates.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class DreamFitness:
    """Returns in the dream.

    On an accelerator all candidates are one batch; on CPUs the batch is split into fixed parts over the workers, where
    one thread each beats threads that share a small matrix product.

    Attributes:
        dream: the simulator; its features are the controller's.
        controller: the shape of C.
        runtime: workers.
        seed: the run's.
        candidates_per_task: candidates that one worker dreams at once.
    """

    dream: Dream
    controller: Controller
    runtime: RuntimeConfig
    seed: int
    candidates_per_task: int = 32

    def __call__(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> Scores:
        rows = torch.as_tensor(solutions, dtype=torch.float32)
        generator = torch_rng(self.seed, role.name, "dream", *path)
        start, noise = self.dream.draw(rollouts, generator)  # (R, Z), and (horizon, R)
        result = self._run(rows, start, noise)
        return Scores(result.returns.double().cpu().numpy(), result.lengths.cpu().numpy(), 0)

    def _run(self, rows: Tensor, start: Tensor, noise: Noise) -> DreamResult:
        if start.device.type != "cpu":
            return self.dream.run(self.controller.act, rows.to(start.device), start, noise)
        memory, config = self.dream.memory, self.dream.config
        tasks = [
            _DreamTask(memory, config, self.controller, part, start, noise)
            for part in rows.split(self.candidates_per_task)
        ]
        parts = list(run_tasks(_dream, tasks, self.runtime, desc="dream"))
        return DreamResult(*(torch.cat(column) for column in zip(*parts, strict=True)))


class _DreamTask(NamedTuple):
    memory: MDNRNN
    config: DreamConfig
    controller: Controller
    solutions: Tensor
    start: Tensor
    noise: Noise


def _dream(task: _DreamTask) -> DreamResult:
    dream = Dream(task.memory, None, task.config, task.controller.features)
    return dream.run(task.controller.act, task.solutions, task.start, task.noise)


@dataclass(frozen=True, kw_only=True)
class RealFitness:
    """Returns in the real environment, played in worker processes.

    Attributes:
        env: the environment.
        agent: V, M and C's shape, on the CPU; the candidates are its solutions.
        runtime: workers.
        seed: the run's.
        fitness_max_steps: steps after which a fitness episode is cut; 0: never. Other roles' episodes are not cut.
        episodes_per_task: episodes that one worker plays side by side; what a task holds does not depend on the number
            of workers.
    """

    env: EnvConfig
    agent: Agent
    runtime: RuntimeConfig
    seed: int
    fitness_max_steps: int = 0
    episodes_per_task: int = 32

    def __call__(self, solutions: NDArray[np.floating], rollouts: int, role: Role, *path: str | int) -> Scores:
        seeds = env_seeds(role, rollouts, self.seed, *path)
        max_steps = self.fitness_max_steps if role is Role.FITNESS else 0
        tasks = list(self._tasks(solutions, seeds, max_steps))
        scores = [one for part in run_tasks(_play, tasks, self.runtime, desc="rollouts") for one in part]
        shape = (len(solutions), rollouts)
        lengths = np.array([one.length for one in scores], np.int64).reshape(shape)
        returns = np.array([one.episode_return for one in scores], np.float64).reshape(shape)
        return Scores(returns, lengths, int(lengths.sum()))

    def _tasks(self, solutions: NDArray[np.floating], seeds: list[int], max_steps: int) -> Iterator["_PlayTask"]:
        players = np.repeat(np.arange(len(solutions)), len(seeds))  # (P·R,), candidate by candidate
        games = seeds * len(solutions)
        for i in range(0, len(games), self.episodes_per_task):
            part = slice(i, i + self.episodes_per_task)
            agent = self.agent.playing(solutions[players[part]], deal="slot")
            yield _PlayTask(self.env, agent, games[part], max_steps)


class _PlayTask(NamedTuple):
    env: EnvConfig
    agent: Agent
    seeds: list[int]
    max_steps: int


def _play(task: _PlayTask) -> list[Score]:
    return score(task.env, task.agent, task.seeds, task.max_steps)
