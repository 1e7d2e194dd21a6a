"""A model with M's interface and known dynamics, so that its dreams can be computed by hand.

z[t+1] = z[t] + action[t] + drift of the member + spread · noise. The reward of a step is the sum of z[t], or -100 if
the episode ends there. It ends in the step that starts beyond ``edge``, and otherwise with probability ``hazard``.
Member e's RNN state is (e + 1) · (the sum of all z in its inputs).
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import RecordedStart
from worldmodels.memory.mdnrnn import MDNRNNOutput, RNNState
from worldmodels.memory.outcome import Outcome
from worldmodels.memory.stats import WorldStats


class Oracle:
    def __init__(
        self, ensemble_size: int = 1, spread: float = 0.0, edge: float = torch.inf, hazard: float = 0.0
    ) -> None:
        self.ensemble_size, self.spread, self.edge = ensemble_size, spread, edge
        self.hazard = torch.tensor(hazard).logit()
        self.member_drift = 0.01 * torch.arange(ensemble_size)[:, None, None]
        self.stats = WorldStats(2)

    def initial_state(self, batch: int) -> RNNState:
        zeros = torch.zeros(self.ensemble_size, batch, 1)
        return RNNState(zeros, zeros)

    def step(self, z: Tensor, action: Tensor, state: RNNState) -> SimpleNamespace:
        total = state.h + (torch.arange(self.ensemble_size)[:, None, None] + 1) * z.sum(-1, keepdim=True)
        return SimpleNamespace(
            mean=z + action + self.member_drift,
            state=RNNState(total, total),
        )

    def outcome(self, output: MDNRNNOutput, z: Tensor, action: Tensor, z_next: Tensor) -> Outcome:
        logit = torch.where(z[..., 0] > self.edge, torch.inf, self.hazard)
        return Outcome(z.sum(-1), torch.full_like(logit, -100.0), logit)

    def advance(self, z: Tensor, action: Tensor, state: RNNState) -> RNNState:
        total = state.h + z.sum(-1, keepdim=True)
        return RNNState(total, total)

    def sample(
        self,
        output: MDNRNNOutput,
        z: Tensor,
        action: Tensor,
        uniform: Tensor,
        normal: Tensor,
        temperature: float,
    ) -> Tensor:
        return output.mean + self.spread * temperature**0.5 * normal * (1 + uniform)

    def step_reward(self, outcome: Outcome) -> Tensor:
        return outcome.reward

    def terminal_reward(self, outcome: Outcome) -> Tensor:
        return outcome.terminal_reward


class Origin:
    """Starts with a small spread around the origin; with ``spread`` 0 the origin itself."""

    def __init__(self, z_dim: int = 2, spread: float = 0.0) -> None:
        self.z_dim, self.spread = z_dim, spread

    def draw(self, count: int, generator: torch.Generator) -> RecordedStart:
        return RecordedStart.at(self.spread * torch.randn(count, self.z_dim, generator=generator))


def push(solutions: Tensor, features: Tensor) -> Tensor:
    """A controller of two parameters: the action is constant. (P, R, A)."""
    return solutions[:, None].expand(-1, features.shape[1], -1)


def feedback(solutions: Tensor, features: Tensor) -> Tensor:
    """A controller that uses all its features: action = tanh(W · features), W (P, A, F) from the solution."""
    weight = solutions.view(len(solutions), -1, features.shape[-1])
    return torch.tanh(features @ weight.mT)


def dream_of(memory: object, starts: object = None, features: str = "zh", **config: object) -> Dream:
    return Dream(memory, starts or Origin(), DreamConfig(**config), features)  # pyright: ignore[reportArgumentType]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
