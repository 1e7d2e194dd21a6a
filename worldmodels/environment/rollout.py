"""Rollouts: several environments of one process step together, so that a network acts on a batch."""

import gc
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.environment.config import EnvConfig
from worldmodels.environment.make import TRUTH, make_env
from worldmodels.environment.policy import Policy
from worldmodels.records import Episode


class Score(NamedTuple):
    """One episode's unscaled return, its number of steps, and how it ended."""

    episode_return: float
    length: int
    terminated: bool
    truncated: bool


def rollout(
    config: EnvConfig, policy: Policy, seeds: Sequence[int], max_steps: int | None = None, *, patience: int = 0
) -> list[Episode]:
    """One complete episode per seed, in the order of the seeds.

    Each episode runs in a newly made environment: it depends only on its seed and the policy, not on earlier episodes.

    Args:
        max_steps: steps after which an episode is truncated; None or 0 for no limit.
        patience: steps without a positive reward after which an episode is truncated; 0 for no limit.
    """
    records = [_Record(seed, policy.name) for seed in seeds]
    _play(config, policy, seeds, [_Limit(max_steps, patience) for _ in seeds], records)
    return [record.episode() for record in records]


def score(config: EnvConfig, policy: Policy, seeds: Sequence[int], max_steps: int | None = None) -> list[Score]:
    """Scores of the episodes that ``rollout`` would return, without keeping the observations."""
    tallies = [_Tally() for _ in seeds]
    _play(config, policy, seeds, [_Limit(max_steps) for _ in seeds], tallies)
    return [tally.score() for tally in tallies]


class _Listener(Protocol):
    def start(self, obs: NDArray, info: dict[str, Any]) -> None: ...

    def add(
        self, action: NDArray, reward: float, terminated: bool, truncated: bool, obs: NDArray, info: dict[str, Any]
    ) -> None: ...


class _Limit:
    """Ends an episode that its environment does not end.

    Args:
        max_steps: steps after which; None or 0 for no limit.
        patience: steps in a row without a positive reward after which; 0 for no limit.
    """

    def __init__(self, max_steps: int | None, patience: int = 0) -> None:
        self._left, self._patience, self._waited = max_steps or math.inf, patience or math.inf, 0

    def reached(self, reward: float) -> bool:
        """Count a step with this reward; whether it is the last."""
        self._left -= 1
        self._waited = 0 if reward > 0 else self._waited + 1
        return self._left <= 0 or self._waited >= self._patience


class _Record:
    """Stores an episode step by step."""

    def __init__(self, seed: int, policy: str) -> None:
        self.seed, self.policy = seed, policy
        self.obs: list[NDArray] = []
        self.truth: list[NDArray] = []
        self.steps: list[tuple[NDArray, float, bool, bool]] = []

    def start(self, obs: NDArray, info: dict[str, Any]) -> None:
        self._see(obs, info)

    def add(
        self, action: NDArray, reward: float, terminated: bool, truncated: bool, obs: NDArray, info: dict[str, Any]
    ) -> None:
        self.steps.append((action, reward, terminated, truncated))
        self._see(obs, info)

    def _see(self, obs: NDArray, info: dict[str, Any]) -> None:
        self.obs.append(obs)
        if TRUTH in info:
            self.truth.append(info[TRUTH])

    def episode(self) -> Episode:
        action, reward, terminated, truncated = zip(*self.steps, strict=True)
        return Episode(
            obs=np.stack(self.obs),  # (T+1, …)
            action=np.stack(action),  # (T,) or (T, A)
            reward=np.asarray(reward, np.float32),
            terminated=np.asarray(terminated),
            truncated=np.asarray(truncated),
            seed=self.seed,
            policy=self.policy,
            truth=np.stack(self.truth) if self.truth else None,  # (T+1, G)
        )


class _Tally:
    """Stores only an episode's sums."""

    def __init__(self) -> None:
        self.total, self.length, self.end = 0.0, 0, (False, False)

    def start(self, obs: NDArray, info: dict[str, Any]) -> None:
        pass

    def add(
        self,
        action: NDArray,  # noqa: ARG002
        reward: float,
        terminated: bool,
        truncated: bool,
        obs: NDArray,  # noqa: ARG002
        info: dict[str, Any],  # noqa: ARG002
    ) -> None:
        self.total += float(np.float32(reward))  # float32, as in a stored episode
        self.length += 1
        self.end = (terminated, truncated)

    def score(self) -> Score:
        return Score(self.total, self.length, *self.end)


def _play(
    config: EnvConfig,
    policy: Policy,
    seeds: Sequence[int],
    limits: Sequence[_Limit],
    listeners: Sequence[_Listener],
) -> None:
    # Gymnasium's vector environments are not used: they reset on the next step and record a transition that does not
    # exist.
    envs = [make_env(config) for _ in seeds]
    try:
        policy.begin(seeds)
        starts = [env.reset(seed=seed) for env, seed in zip(envs, seeds, strict=True)]
        obs = [first for first, _ in starts]
        for listener, start in zip(listeners, starts, strict=True):
            listener.start(*start)
        slots = np.arange(len(seeds))
        while slots.size:
            actions = policy.act(np.stack([obs[slot] for slot in slots]), slots)
            going = [
                _step(envs[slot], action, limits[slot], listeners[slot], obs, slot)
                for slot, action in zip(slots.tolist(), actions, strict=True)
            ]
            slots = slots[going]
    finally:
        for env in envs:  # all at the end: pygame's close() also closes the display of the other environments
            env.close()
        envs.clear()
        gc.collect()  # Box2D's worlds are cycles: by itself Python would let hundreds of MiB of them lie


def _step(env: gym.Env, action: NDArray, limit: _Limit, listener: _Listener, obs: list[NDArray], slot: int) -> bool:
    """Run one step of one slot, pass it to the listener and write ``obs``; returns whether the episode continues."""
    obs[slot], reward, terminated, truncated, info = env.step(action)
    truncated = limit.reached(float(reward)) or truncated
    listener.add(action, float(reward), terminated, truncated, obs[slot], info)
    return not (terminated or truncated)
