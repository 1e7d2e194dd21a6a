"""V, M and C together as a policy of the real environment."""

import copy
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.seeding import numpy_rng
from worldmodels.control.controller import Controller
from worldmodels.environment.spec import EnvSpec
from worldmodels.memory.mdnrnn import MDNRNN, RNNState
from worldmodels.vision.base import Vision, sample_z

_BLOCK = 128  # steps of random numbers drawn at a time: a draw a step and slot would cost more than C does

Assign = Literal["slot", "seed"]


class Agent:
    """An ``environment.Policy``: it sees what C saw in the dream, z sampled from (mu, logvar) and member 0's h.

    Args:
        spec: the environment.
        vision: V.
        memory: M, on V's device; None where C sees z alone.
        controller: the shape of C.
        solutions: (n, N) parameters of C.
        assign: which of them plays an episode: row (seed mod n), or row (slot mod n).
        exploration: probability of a random action (discrete), or standard deviation of Gaussian noise on the encoded
            action (box).
        name: what records call it.

    Raises:
        ValueError: C sees h, and there is no M.
    """

    def __init__(
        self,
        spec: EnvSpec,
        vision: Vision,
        memory: MDNRNN | None,
        controller: Controller,
        solutions: NDArray[np.floating] | Tensor,
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
        self._solutions = torch.as_tensor(solutions, dtype=torch.float32)
        self._assigned = self._solutions  # (S, N) of the slots, or (1, N) for all
        self._rnn: RNNState | None = None  # (S, D) of the slots
        self._noise = _SlotNoise((), 0)

    def with_solutions(self, solutions: NDArray[np.floating] | Tensor, *, assign: Assign = "seed") -> "Agent":
        """The same agent with other parameters of C, (n, N)."""
        agent = copy.copy(self)
        agent._solutions, agent._assign = torch.as_tensor(solutions, dtype=torch.float32), assign
        return agent

    def begin(self, seeds: Sequence[int]) -> None:
        """Begin the episodes of ``seeds``, one a slot, with a zero RNN state."""
        rows = len(self._solutions)
        numbers = range(len(seeds)) if self._assign == "slot" else seeds
        self._assigned = self._solutions[[i % rows for i in numbers]] if rows > 1 else self._solutions
        self._noise = _SlotNoise(
            [numpy_rng(seed, "agent") for seed in seeds], self._vision.z_dim + self._spec.action_dim
        )
        if self._memory is not None:
            h, c = self._memory.initial_state(len(seeds)).member(0)  # (S, D)
            self._rnn = RNNState(h.clone(), c.clone())  # written to in place, slot by slot

    @torch.inference_mode()
    def act(self, obs: NDArray, slots: NDArray[np.int64]) -> NDArray:
        """Actions in the environment's form for obs (B, …)."""
        chance, normal = self._noise.draw(slots)  # (B,), (B, Z+A)
        mu, logvar = self._vision.encode(torch.from_numpy(obs))  # (B, Z)
        z = sample_z(mu, logvar, normal[:, : mu.shape[1]].to(mu))
        action = self._controlled(z, torch.from_numpy(slots))
        action = self._explored(action, chance, normal[:, mu.shape[1] :])
        self._advance(z, action, torch.from_numpy(slots))
        return self._spec.decode_action(action.cpu().numpy())

    def _controlled(self, z: Tensor, slots: Tensor) -> Tensor:
        features = z if self._rnn is None else torch.cat([z, self._rnn.h[slots]], dim=1)  # (B, F)
        if len(self._assigned) == 1:
            return self._controller.act(self._assigned.to(z), features[None])[0]
        return self._controller.act(self._assigned[slots].to(z), features[:, None])[:, 0]

    def _explored(self, action: Tensor, chance: Tensor, normal: Tensor) -> Tensor:
        if self.exploration == 0:
            return action
        if self._controller.action == "box":
            return (action + self.exploration * normal.to(action)).clamp(-1, 1)
        anything = torch.zeros_like(action)
        anything[torch.arange(len(action)), normal.argmax(1)] = 1.0  # the largest of A equal normals is uniform
        return torch.where((chance < self.exploration).to(action.device)[:, None], anything, action)

    def _advance(self, z: Tensor, action: Tensor, slots: Tensor) -> None:
        if self._memory is None or self._rnn is None:
            return
        after = self._memory.advance(z, action, RNNState(self._rnn.h[slots], self._rnn.c[slots]))
        self._rnn.h[slots], self._rnn.c[slots] = after


class _SlotNoise:
    """Each slot's own stream of random numbers. All slots that still play are at the same step."""

    def __init__(self, streams: Sequence[np.random.Generator], width: int) -> None:
        self._streams, self._width, self._step = streams, width, 0
        self._uniform = self._normal = torch.empty(0)

    def draw(self, slots: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """A uniform (B,) and standard normals (B, width)."""
        if self._step % _BLOCK == 0:
            uniform = [stream.random(_BLOCK, np.float32) for stream in self._streams]
            normal = [stream.standard_normal((_BLOCK, self._width), np.float32) for stream in self._streams]
            self._uniform, self._normal = torch.from_numpy(np.stack(uniform)), torch.from_numpy(np.stack(normal))
        at = self._step % _BLOCK
        self._step += 1
        return self._uniform[slots, at], self._normal[slots, at]
