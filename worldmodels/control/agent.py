"""V, M and C together as a policy of the real environment."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.seeding import numpy_rng
from worldmodels.control.controller import Controller
from worldmodels.environment.spec import EnvSpec
from worldmodels.vision.base import Vision, sample_z

if TYPE_CHECKING:
    from worldmodels.memory.mdnrnn import MDNRNN
    from worldmodels.memory.member import FollowedEpisodes

_BLOCK = 128  # steps of random numbers drawn at once: one draw per step and slot would cost more than C does

Assign = Literal["slot", "seed"]


class Agent:
    """An ``environment.Policy`` with the features C had in the dream: z sampled from (mu, logvar), and member 0's h.

    Args:
        spec: the environment.
        vision: V.
        memory: M, on the CPU; None if C sees only z.
        controller: the shape of C.
        solutions: (n, N) parameters of C.
        assign: which row acts in an episode: row (seed mod n), or row (slot mod n).
        exploration: probability of a random action (discrete), or standard deviation of Gaussian noise on the encoded
            action (box).
        name: the policy's name in records.

    Raises:
        ValueError: C sees h, and there is no M.
    """

    def __init__(
        self,
        spec: EnvSpec,
        vision: Vision,
        memory: "MDNRNN | None",
        controller: Controller,
        solutions: NDArray[np.floating],
        *,
        assign: Assign = "seed",
        exploration: float = 0.0,
        name: str = "controller",
    ) -> None:
        if controller.features == "zh" and memory is None:
            raise ValueError("a controller that sees h needs a memory")
        self.name = name
        self.exploration = exploration
        self._spec, self._vision, self._controller = spec, vision, controller
        self._memory = memory if controller.features == "zh" else None
        self._assign: Assign = assign
        self._solutions = np.asarray(solutions, np.float32)
        self._assigned = self._solutions  # (S, N) of the slots, or (1, N) for all
        self._episodes: FollowedEpisodes | None = None
        self._noise = _SlotNoise((), 0)

    @property
    def vision(self) -> Vision:
        """V."""
        return self._vision

    @property
    def memory(self) -> "MDNRNN | None":
        """M; None if C sees z alone."""
        return self._memory

    @property
    def controller(self) -> Controller:
        """The shape of C."""
        return self._controller

    @property
    def solution(self) -> NDArray[np.float32]:
        """(N,) the first row of C's parameters."""
        return self._solutions[0]

    def with_solutions(self, solutions: NDArray[np.floating], *, assign: Assign = "seed") -> "Agent":
        """The same agent with other parameters of C, (n, N)."""
        agent = copy.copy(self)
        agent._solutions, agent._assign = np.asarray(solutions, np.float32), assign
        return agent

    def begin(self, seeds: Sequence[int]) -> None:
        """Begin the episodes of ``seeds``, one per slot, with a zero RNN state."""
        rows = len(self._solutions)
        numbers = range(len(seeds)) if self._assign == "slot" else seeds
        self._assigned = self._solutions[[i % rows for i in numbers]] if rows > 1 else self._solutions
        self._noise = _SlotNoise(
            [numpy_rng(seed, "agent") for seed in seeds], self._vision.z_dim + self._spec.action_dim
        )
        if self._memory is not None:
            from worldmodels.memory.member import FollowedEpisodes  # imported late: a C that sees only z needs no torch

            self._episodes = FollowedEpisodes(self._memory, len(seeds))

    def act(self, obs: NDArray, slots: NDArray[np.int64]) -> NDArray:
        """Actions in the environment's form for obs (B, …)."""
        chance, normal = self._noise.draw(slots)  # (B,), (B, Z+A)
        mu, logvar = self._vision.encode(obs)  # (B, Z)
        z = sample_z(mu, logvar, normal[:, : mu.shape[1]])
        action = self._explored(self._controlled(z, slots), chance, normal[:, mu.shape[1] :])
        if self._episodes is not None:
            self._episodes.advance(z, action, slots)
        return self._spec.decode_action(action)

    def _controlled(self, z: NDArray[np.float32], slots: NDArray[np.int64]) -> NDArray[np.float32]:
        features = z if self._episodes is None else np.concatenate([z, self._episodes.h(slots)], axis=1)  # (B, F)
        if len(self._assigned) == 1:
            return self._controller.act(self._assigned, features[None])[0]
        return self._controller.act(self._assigned[slots], features[:, None])[:, 0]

    def _explored(
        self, action: NDArray[np.float32], chance: NDArray[np.float32], normal: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if self.exploration == 0:
            return action
        if self._controller.action == "box":
            return (action + self.exploration * normal).clip(-1, 1)
        anything = np.eye(action.shape[1], dtype=np.float32)[normal.argmax(1)]  # argmax of A i.i.d. normals is uniform
        return np.where((chance < self.exploration)[:, None], anything, action)


class _SlotNoise:
    """One random stream per slot. All slots that are still active are at the same step."""

    def __init__(self, streams: Sequence[np.random.Generator], width: int) -> None:
        self._streams, self._width, self._step = streams, width, 0
        self._uniform = self._normal = np.zeros(0, np.float32)

    def draw(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A uniform (B,) and standard normals (B, width)."""
        if self._step % _BLOCK == 0:
            uniform = [stream.random(_BLOCK, np.float32) for stream in self._streams]
            normal = [stream.standard_normal((_BLOCK, self._width), np.float32) for stream in self._streams]
            self._uniform, self._normal = np.stack(uniform), np.stack(normal)
        row = self._step % _BLOCK
        self._step += 1
        return self._uniform[slots, row], self._normal[slots, row]
