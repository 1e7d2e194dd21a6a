"""The interface of policies, and the two policies that need no training."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.seeding import numpy_rng
from worldmodels.environment.spec import EnvSpec


class Policy(Protocol):
    """Acts in several episodes at once. Picklable: it is sent to worker processes.

    Its actions in a slot depend only on the seeds given to ``begin`` and on the slot's observations.
    """

    name: str

    def begin(self, seeds: Sequence[int]) -> None:
        """Reset all state. Slot i now plays the episode of ``seeds[i]``, with its own random stream."""

    def act(self, obs: NDArray, slots: NDArray[np.int64]) -> NDArray:
        """One action per row of ``obs`` (B, …), in the environment's form: (B,) or (B, A).

        Args:
            slots: (B,) the slot of each row; finished slots do not occur again.
        """
        ...


class RandomPolicy:
    """Uniformly random actions, independent of each other."""

    name = "uniform"

    def __init__(self, spec: EnvSpec) -> None:
        self.spec = spec
        self._streams: list[np.random.Generator] = []

    def begin(self, seeds: Sequence[int]) -> None:
        self._streams = [numpy_rng(seed, self.name) for seed in seeds]

    def act(self, obs: NDArray, slots: NDArray[np.int64]) -> NDArray:  # noqa: ARG002 (blind)
        noise = np.stack([self._streams[slot].random(self.spec.action_dim) for slot in slots])  # (B, A)
        return self.spec.decode_action(2 * noise - 1)  # argmax of A i.i.d. uniforms is uniform


class BrownianPolicy:
    """Temporally correlated random actions: with them a car moves along, which white noise does not achieve.

    Box actions follow a random walk in the encoded box, clipped to it. Discrete actions are repeated with a probability
    that each episode draws anew: what trembles on the spot and what runs along are both recorded.

    Args:
        step_std: standard deviation of a step of the walk, in encoded units (ctallec/world-models: sqrt(1/50)).
        keep: maximum probability that a discrete action is repeated; an episode's own is uniform from 0 to it.
    """

    name = "brownian"

    def __init__(self, spec: EnvSpec, *, step_std: float = 0.14, keep: float = 0.9) -> None:
        self.spec = spec
        self.step_std = step_std
        self.keep = keep
        self._streams: list[np.random.Generator] = []
        self._keep: list[float] = []
        self._last = np.zeros((0, spec.action_dim))

    def begin(self, seeds: Sequence[int]) -> None:
        self._streams = [numpy_rng(seed, self.name) for seed in seeds]
        self._keep = [self.keep * stream.random() for stream in self._streams]
        self._last = np.stack([self._fresh(stream) for stream in self._streams])  # (slots, A), encoded

    def act(self, obs: NDArray, slots: NDArray[np.int64]) -> NDArray:  # noqa: ARG002 (blind)
        actions = self.spec.decode_action(self._last[slots])
        for slot in slots:
            self._last[slot] = self._next(self._last[slot], self._keep[slot], self._streams[slot])
        return actions

    def _fresh(self, stream: np.random.Generator) -> NDArray:
        return stream.uniform(-1, 1, self.spec.action_dim)

    def _next(self, last: NDArray, keep: float, stream: np.random.Generator) -> NDArray:
        if self.spec.action == "box":
            return np.clip(last + stream.normal(0, self.step_std, last.shape), -1, 1)
        return last if stream.random() < keep else self._fresh(stream)


def random_policy(kind: Literal["uniform", "brownian"], spec: EnvSpec) -> Policy:
    """The untrained policy of that name."""
    return RandomPolicy(spec) if kind == "uniform" else BrownianPolicy(spec)
