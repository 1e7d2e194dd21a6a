"""M: an ensemble of LSTMs with mixture density heads, computed as one batch (Ha & Schmidhuber 2018, A.2).

Shapes: E members, B batch, L sequence, Z latent, A action, K mixtures, D hidden.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from worldmodels.memory import lstm, mixture
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.ensemble import Linear, Perceptron
from worldmodels.memory.outcome import Outcome, OutcomeHeads
from worldmodels.memory.stats import WorldStats

LOGSTD_LOW, LOGSTD_HIGH = -7.0, 2.0  # in units of WorldStats.scale; a body at rest moves by a thousandth of one


class RNNState(NamedTuple):
    """Hidden and cell state of the LSTM, each (E, B, D); (B, D) where one member is meant."""

    h: Tensor
    c: Tensor

    def member(self, index: int) -> "RNNState":
        """The state of one member, (B, D)."""
        return RNNState(self.h[index], self.c[index])


class MDNRNNOutput(NamedTuple):
    """M's prediction for the step from z by action; shapes are those of ``unroll``; ``step`` has no L.

    Attributes:
        logpi, mean, logstd: (E, B, L, Z, K) mixture over the target, in units of WorldStats.scale; logpi are logits.
            Not used for binary dimensions (``MDNRNN.binary_logit``).
        h: (E, B, L, D) after each step.
        state: after the last step.
    """

    logpi: Tensor
    mean: Tensor
    logstd: Tensor
    h: Tensor
    state: RNNState


class MDNRNN(nn.Module):
    """P(z_next, reward, terminated | z, action, h), by E members that share only their data.

    First the continuous dimensions of z_next (``unroll``, ``step``), then its binary ones given these
    (``binary_logit``), then the outcome of the step to it (``outcome``).

    Args:
        z_dim, action_dim: Z, and A of the encoded action.
        stats: units and ranges of the data; neutral ones if absent.

    Attributes:
        has_binary: whether a dimension of z is binary.
    """

    def __init__(self, config: MDNRNNConfig, z_dim: int, action_dim: int, stats: WorldStats | None = None) -> None:
        super().__init__()
        self.config, self.z_dim, self.action_dim = config, z_dim, action_dim
        self.stats = stats if stats is not None else WorldStats(z_dim)
        self.has_binary = bool(self.stats.binary.any())
        members, hidden, head = config.ensemble_size, config.hidden_dim, config.head_hidden_dim
        inputs, outputs = z_dim + action_dim, z_dim * 3 * config.num_mixtures
        self.cell = Linear(members, inputs + hidden, 4 * hidden)  # rows: z, action, h
        if head:
            self.hidden = Linear(members, hidden + inputs, head)
        self.head = Linear(members, head or hidden, outputs)
        self.outcome_heads = OutcomeHeads(config, z_dim, action_dim, self.stats.terminated_rate)
        width = config.outcome_hidden_dim
        self.binary_head = Perceptron(members, (2 * z_dim + action_dim + hidden, width, width, z_dim))

    @property
    def ensemble_size(self) -> int:
        """E."""
        return self.config.ensemble_size

    @property
    def hidden_dim(self) -> int:
        """D."""
        return self.config.hidden_dim

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.cell.weight.device

    def initial_state(self, batch: int) -> RNNState:
        """The state before an episode's first step: zeros (E, B, D)."""
        shape = (self.ensemble_size, batch, self.hidden_dim)
        zeros = torch.zeros(shape, device=self.device)
        return RNNState(zeros, zeros)

    def in_precision(self, dtype: torch.dtype) -> "MDNRNN":
        """The same M with its weights, and so its matrix products, in ``dtype``: for dreaming, not for training.

        States, statistics and outputs stay float32.
        """
        memory = copy.deepcopy(self).requires_grad_(False)
        for weight in memory.parameters():
            weight.data = weight.data.to(dtype)
        return memory

    def unroll(self, z: Tensor, action: Tensor, state: RNNState) -> MDNRNNOutput:
        """A window of known steps (teacher forcing).

        Args:
            z: (E, B, L, Z). action: (E, B, L, A).
            state: before the window's first step.
        """
        x = torch.cat((z, action), -1)  # (E, B, L, Z+A)
        hs, c = lstm.unroll(x, self.cell.weight, self.cell.bias, *state)  # (E, B, L, D)
        out = self._heads(hs.flatten(1, 2), x.flatten(1, 2))  # (E, B*L, O)
        return self._split(out.unflatten(1, x.shape[1:3]), hs, RNNState(hs[:, :, -1].float(), c))

    def step(self, z: Tensor, action: Tensor, state: RNNState) -> MDNRNNOutput:
        """One step of ``unroll``: z (E, B, Z), action (E, B, A)."""
        x = torch.cat((z, action), -1)
        h, c = lstm.cell(self.cell(torch.cat((x, state.h), -1)), state.c)
        return self._split(self._heads(h, x), h, RNNState(h, c))

    def binary_logit(self, output: MDNRNNOutput, z: Tensor, action: Tensor, z_next: Tensor) -> Tensor:
        """Log odds of a 1 in each dimension of z_next, given its continuous ones; valid for binary dimensions.

        Whether a leg touches the ground follows from where the body is drawn. Drawn apart from it, a contact that is
        merely rare in the air happens in every long dream.
        """
        moved = z_next.masked_fill(self.stats.binary, 0)
        x = torch.cat((z, action, moved, output.h), -1)
        return self.binary_head(x.flatten(1, -2)).unflatten(1, x.shape[1:-1])

    def outcome(self, output: MDNRNNOutput, z: Tensor, action: Tensor, z_next: Tensor) -> Outcome:
        """The outcome of the steps of ``output``, which were made from z by action and led to z_next (shapes as z)."""
        return self.outcome_heads(self.stats, output.h, z, action, z_next)

    def advance(self, z: Tensor, action: Tensor, state: RNNState) -> RNNState:
        """Member 0's state after a step, without a prediction.

        Hidden units of different members are not comparable, so C always gets member 0's h, in reality and in the
        dreams of any member.

        Args:
            z: (B, Z). action: (B, A). state: of member 0, (B, D); initially ``initial_state(B).member(0)``.
        """
        x = torch.cat((z, action, state.h), -1)  # (B, Z+A+D)
        weight, bias = self.cell.weight[0], self.cell.bias[0]
        return RNNState(*lstm.cell(torch.addmm(bias, x.to(weight.dtype), weight).float(), state.c))

    def sample(
        self,
        output: MDNRNNOutput,
        z: Tensor,
        action: Tensor,
        uniform: Tensor,
        normal: Tensor,
        temperature: float | Tensor = 1.0,
    ) -> Tensor:
        """Draw z_next (…, Z) given z (…, Z), from uniform noise in [0, 1) and standard normal noise, both (…, Z).

        The temperature applies to mixtures (``mixture.sample``) and to binary dimensions (logits / τ).
        """
        draw = mixture.sample(output.logpi, output.mean, output.logstd, uniform, normal, temperature)
        z_next = self.stats.delta * z + self.stats.scale * draw
        if not self.has_binary:
            return z_next
        logit = self.binary_logit(output, z, action, z_next)
        return torch.where(self.stats.binary, (uniform < torch.sigmoid(logit / temperature)).to(z.dtype), z_next)

    def expected(self, output: MDNRNNOutput, z: Tensor, action: Tensor) -> Tensor:
        """The mean of z_next (…, Z); for binary dimensions the more likely value where the others have their mean."""
        z_next = self.stats.delta * z + self.stats.scale * mixture.expected(output.logpi, output.mean)
        if not self.has_binary:
            return z_next
        return torch.where(self.stats.binary, (self.binary_logit(output, z, action, z_next) > 0).to(z.dtype), z_next)

    def step_reward(self, outcome: Outcome) -> Tensor:
        """Reward if the episode continues, in the environment's units, clipped to the range in the data."""
        s = self.stats
        return (s.reward_mean + s.reward_scale * outcome.reward).clamp(s.reward_low, s.reward_high)

    def terminal_reward(self, outcome: Outcome) -> Tensor:
        """Reward if the episode ends here, in the environment's units, clipped to the range in the data."""
        s = self.stats
        reward = s.terminal_reward_mean + s.terminal_reward_scale * outcome.terminal_reward
        return reward.clamp(s.terminal_reward_low, s.terminal_reward_high)

    def expected_reward(self, outcome: Outcome) -> Tensor:
        """Mean reward over whether the episode ends here, in the environment's units."""
        ends = torch.sigmoid(outcome.terminated_logit)
        return ends * self.terminal_reward(outcome) + (1 - ends) * self.step_reward(outcome)

    def _heads(self, h: Tensor, x: Tensor) -> Tensor:
        """The density of every member, (E, N, O), from h (E, N, D) and x = [z, action] (E, N, Z+A)."""
        if self.config.head_hidden_dim:
            hidden = self.hidden(torch.cat((h, x), -1))
            h = silu(layer_norm(hidden, hidden.shape[-1:]))
        return self.head(h)

    def _split(self, out: Tensor, h: Tensor, state: RNNState) -> MDNRNNOutput:
        z, k = self.z_dim, self.config.num_mixtures
        logpi, mean, logstd = out.split(z * k, -1)
        return MDNRNNOutput(
            logpi=logpi.unflatten(-1, (k, z)).mT,
            mean=mean.unflatten(-1, (k, z)).mT,
            logstd=mixture.bound(logstd, LOGSTD_LOW, LOGSTD_HIGH).unflatten(-1, (k, z)).mT,
            h=h,
            state=state,
        )
