"""Data types of the dream: its noise, its state between steps, and its results."""

from typing import NamedTuple

import torch
from torch import Tensor

from worldmodels.memory.mdnrnn import RNNState


class Noise(NamedTuple):
    """All random numbers of the steps of dreams.

    Attributes:
        uniform: (…, Z) in [0, 1): selects the mixture's component, or the value of a binary dimension.
        normal: (…, Z) standard normal: the draw within that component.
        end: (…) in [0, 1): whether the dream terminates.
    """

    uniform: Tensor
    normal: Tensor
    end: Tensor

    @classmethod
    def draw(cls, shape: tuple[int, ...], z_dim: int, generator: torch.Generator) -> "Noise":
        """Noise of leading shape ``shape``, on the generator's device."""
        options = {"generator": generator, "device": generator.device}
        uniform = torch.rand(*shape, z_dim + 1, **options)
        return cls(uniform[..., :z_dim], torch.randn(*shape, z_dim, **options), uniform[..., z_dim])

    def select(self, *index: int | Tensor) -> "Noise":
        """The noise at an index of the leading shape."""
        return Noise(self.uniform[index], self.normal[index], self.end[index])

    def to(self, device: torch.device) -> "Noise":
        """The same on another device."""
        return Noise(self.uniform.to(device), self.normal.to(device), self.end.to(device))


class DreamStart(NamedTuple):
    """Where R dreams begin.

    Attributes:
        z: (R, Z).
        rnn: (E, R, D), each member's state after the recorded steps before the start; zero where there are none.
    """

    z: Tensor
    rnn: RNNState


class DreamState(NamedTuple):
    """State of dreams between two steps.

    Attributes:
        z: (E, B, Z).
        rnn: (E, B, D), the state of each dream's own member.
        controller_rnn: (E, B, D): member 0's state after the same steps, which C reads, in the dream and in reality:
            hidden units of different members are not comparable. None if C does not read h, or there is only member 0.
    """

    z: Tensor
    rnn: RNNState
    controller_rnn: RNNState | None


class DreamResult(NamedTuple):
    """Results of P · R dreams.

    Attributes:
        returns: (P, R) float32, sum of unscaled rewards.
        lengths: (P, R) int64, steps.
        terminated: (P, R) bool; the others were truncated at the horizon.
        left: (P, R) bool: terminated because the dream left the range of the data.
        last_reward: (P, R) float32, reward of the last step.
    """

    returns: Tensor
    lengths: Tensor
    terminated: Tensor
    left: Tensor
    last_reward: Tensor
