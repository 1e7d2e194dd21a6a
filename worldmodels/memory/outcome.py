"""What a step earns, and whether it ends the episode, judged by the state that it led to.

Heads that see only what came before a step pay for what might have happened; these pay for what did, so the reward of a
dream follows its states and an optimistic guess cannot be collected at every step.

Shapes: E members, … B or B, L, Z latent, A action, D hidden.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.ensemble import Perceptron
from worldmodels.memory.stats import WorldStats

_STILL = 0.01  # of a usual step: below it the end sees a step linearly, above it by its logarithm
_POTENTIAL_UNIT = 3.0  # a potential's range is many steps' rewards wide; this brings it nearer to the network's own


class Outcome(NamedTuple):
    """The outcome of a step; all (E, …).

    Attributes:
        reward: reward if the episode continues, standardised. terminal_reward: if it ends here.
        terminated_logit: log odds that it ends here.
    """

    reward: Tensor
    terminal_reward: Tensor
    terminated_logit: Tensor


class OutcomeHeads(nn.Module):
    """P(reward, terminated | z, action, z_next, h).

    The reward does not read h: off the recorded paths h is unlike any that was recorded, and a reward that depends on
    it loses all relation to the states. The end does: how long a body has rested is not in z. In a world of states the
    end sees a step's size on a logarithmic scale, since what rests and what trembles differ by orders of magnitude.

    Args:
        terminated_rate: (), terminations per step, with which training begins.
    """

    def __init__(self, config: MDNRNNConfig, z_dim: int, action_dim: int, terminated_rate: Tensor) -> None:
        super().__init__()
        width, transition = config.outcome_hidden_dim, 2 * z_dim + action_dim
        perceptron = partial(Perceptron, config.ensemble_size)
        rewards = {"free": _FreeReward, "potential": _PotentialReward}
        self.reward = rewards[config.reward_form](perceptron, width, z_dim, action_dim)
        self.end = perceptron((transition + config.hidden_dim, width, width, 2))
        bias = dict(self.end.named_parameters())["layers.2.bias"]
        with torch.no_grad():
            bias[..., 1] = torch.logit(terminated_rate, eps=1e-6)

    def forward(self, stats: WorldStats, h: Tensor, z: Tensor, action: Tensor, z_next: Tensor) -> Outcome:
        """The outcome of steps from z (E, …, Z) by action (E, …, A) to z_next (E, …, Z); h (E, …, D) is that after."""
        shape = z.shape[1:-1]
        h, z, action, z_next = (x.flatten(1, -2) for x in (h, z, action, z_next))  # (E, N, …)
        change = step_change(stats, z, z_next)
        reward = self.reward(z, action, change, z_next)
        magnitude = torch.where(stats.delta > 0, torch.asinh(change / _STILL) / 2, change)
        terminal_reward, logit = self.end(torch.cat((z, action, magnitude, h), -1)).unbind(-1)
        return Outcome(*(x.unflatten(1, shape) for x in (reward, terminal_reward, logit)))


def step_change(stats: WorldStats, z: Tensor, z_next: Tensor) -> Tensor:
    """What a step changes, in the mixture's units: it is small beside the state."""
    return torch.where(stats.binary, z_next, (z_next - stats.delta * z) / stats.scale)


class _FreeReward(nn.Module):
    """R(z, action, z_next), (E, N)."""

    def __init__(self, perceptron: Callable[..., Perceptron], width: int, z_dim: int, action_dim: int) -> None:
        super().__init__()
        self.reward = perceptron((2 * z_dim + action_dim, width, width, 1))

    def forward(self, z: Tensor, action: Tensor, change: Tensor, z_next: Tensor) -> Tensor:  # noqa: ARG002
        return self.reward(torch.cat((z, action, change), -1))[..., 0]


class _PotentialReward(nn.Module):
    """phi(z_next) - phi(z) + g(action), (E, N)."""

    def __init__(self, perceptron: Callable[..., Perceptron], width: int, z_dim: int, action_dim: int) -> None:
        super().__init__()
        self.potential = perceptron((z_dim, width, width, 1))
        self.cost = perceptron((action_dim, width, 1))

    def forward(self, z: Tensor, action: Tensor, change: Tensor, z_next: Tensor) -> Tensor:  # noqa: ARG002
        both = self.potential(torch.cat((z_next, z), 1))  # one call: half the overhead
        after, before = both.unflatten(1, (2, -1)).unbind(1)
        return (_POTENTIAL_UNIT * (after - before) + self.cost(action))[..., 0]
