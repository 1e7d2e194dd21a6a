"""The learned environment as a batched simulator: every rollout of every candidate is one row of one batch.

A dream follows the alignment of ``worldmodels.records``: from z[t] and action[t] the memory M predicts reward[t],
terminated[t] and z[t+1]. Dream (p, r) of candidate p and rollout r is simulated by ensemble member r mod E, so the
batch is (E, B) with B = P · ceil(R / E); if R is not a multiple of E, rows are wasted.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from worldmodels.common.device import product_dtype
from worldmodels.dream.batch import DreamBatch
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.starts import DrawsStarts, RecordedStart
from worldmodels.dream.state import DreamResult, DreamStart, DreamState, Noise
from worldmodels.memory.mdnrnn import MDNRNN, RNNState

Act = Callable[[Tensor, Tensor], Tensor]
"""(solutions (P, N), features (P, R, F)) → encoded actions (P, R, A)."""

COMPACT_EVERY = 16  # steps between two checks for ended dreams; each check synchronises with the accelerator
BFLOAT16_ROWS = 16  # oneDNN makes and keeps a kernel for every size of a batch: of all sizes, hundreds of MiB


class Dream:
    """The simulator.

    Args:
        memory: M; its device is the simulator's.
        starts: what draws the starts; None if ``run`` is given them (in a worker process, which gets no recordings).
        config: horizon, temperature, …
        features: inputs of the controller: ``zh`` is [z, h of member 0], ``z`` is z alone.
    """

    def __init__(
        self, memory: MDNRNN, starts: DrawsStarts | None, config: DreamConfig, features: Literal["z", "zh"] = "zh"
    ) -> None:
        initial = memory.initial_state(1).h  # (E, 1, D)
        self.ensemble_size, self._device = len(initial), initial.device
        dtype = product_dtype(config.precision, self._device)
        self.memory = memory if dtype == torch.float32 else memory.in_precision(dtype)
        self._multiple = BFLOAT16_ROWS if dtype == torch.bfloat16 else 1
        self.config = config
        self._starts = starts
        self._sees_h = features == "zh"
        self._low, self._high = _range(memory.stats.z_low, memory.stats.z_high, config.range_margin)
        self.z_dim = len(self._low)
        self.feature_dim = self.z_dim + initial.shape[-1] * self._sees_h
        self._step = torch.compile(self.step, dynamic=True) if config.compile else self.step

    def draw(self, rollouts: int, generator: torch.Generator) -> tuple[DreamStart, Noise]:
        """All random numbers of R = ``rollouts`` dreams: starts, and noise of leading shape (horizon, R)."""
        if self._starts is None:
            raise ValueError("this dream was made without starts; give them to run")
        recorded = self._starts.draw(rollouts, generator)
        noise = Noise.draw((self.config.horizon, rollouts), self.z_dim, generator)
        return self._warmed_up(RecordedStart(*(x.to(self._device) for x in recorded))), noise.to(self._device)

    @torch.inference_mode()
    def _warmed_up(self, recorded: RecordedStart) -> DreamStart:
        """The start of each dream, after every member has followed the recorded steps before it."""
        z, action, known = recorded
        rnn = self.memory.initial_state(len(z))
        for t in range(known.shape[1]):
            seen, done = (x[:, t].expand(self.ensemble_size, -1, -1) for x in (z, action))
            rnn = self.memory.step(seen, done, rnn).state
            rnn = RNNState(*(x * known[:, t, None] for x in rnn))
        return DreamStart(z[:, -1], rnn)

    def feature_statistics(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (F,) of the controller's inputs at ``count`` starts; 1 where they do not vary."""
        start, _ = self.draw(count, generator)
        features = self.features(self.reset(start))[0]
        std, mean = torch.std_mean(features, 0)
        return mean, torch.where(std > 0, std, 1.0)

    def reset(self, start: DreamStart, rollout: Tensor | None = None) -> DreamState:
        """The first state of dreams (E, B), one row of E for each member.

        Args:
            rollout: (E, B): dream (e, b) begins at start rollout[e, b]; by default each member begins at each start.
        """
        member = torch.arange(self.ensemble_size, device=self._device)[:, None]
        if rollout is None:
            rollout = torch.arange(len(start.z), device=self._device).expand(self.ensemble_size, -1)
        rnn = RNNState(*(x[member, rollout] for x in start.rnn))
        separate = self._sees_h and self.ensemble_size > 1
        return DreamState(start.z[rollout], rnn, RNNState(*(x[0, rollout] for x in start.rnn)) if separate else None)

    def features(self, state: DreamState) -> Tensor:
        """The controller's inputs, (E, B, F)."""
        if not self._sees_h:
            return state.z
        return torch.cat([state.z, (state.controller_rnn or state.rnn).h], dim=-1)

    def step(
        self, state: DreamState, action: Tensor, noise: Noise, temperature: float | Tensor | None = None
    ) -> tuple[DreamState, Tensor, Tensor, Tensor]:
        """One step of every dream: the paper's P(z[t+1] | a[t], z[t], h[t]) at temperature τ, and its reward.

        Args:
            action: (E, B, A), encoded.
            noise: of leading shape (E, B).
            temperature: τ, a number or (); by default the configuration's.

        Returns:
            The next state, reward (E, B) unscaled, terminated (E, B) bool, and which of these left the data's range.
        """
        output = self.memory.step(state.z, action, state.rnn)
        controller_rnn = self._advance_controller_rnn(state, action)
        tau = self.config.temperature if temperature is None else temperature
        z = self.memory.sample(output, state.z, action, noise.uniform, noise.normal, tau)
        outcome = self.memory.outcome(output, state.z, action, z)
        terminated = noise.end < outcome.terminated_logit.sigmoid()
        left = torch.zeros_like(terminated)
        if self.config.end_on_leaving:
            left = ~((z >= self._low) & (z <= self._high)).all(-1)  # NaN counts as outside
            terminated = terminated | left
        reward = torch.where(terminated, self.memory.terminal_reward(outcome), self.memory.step_reward(outcome))
        return DreamState(z, output.state, controller_rnn), reward, terminated, left

    def _advance_controller_rnn(self, state: DreamState, action: Tensor) -> RNNState | None:
        if state.controller_rnn is None:
            return None
        before = state.controller_rnn  # (E, B, D)
        flat = RNNState(before.h.flatten(0, 1), before.c.flatten(0, 1))  # (E·B, D)
        after = self.memory.advance(state.z.flatten(0, 1), action.flatten(0, 1), flat)
        return RNNState(after.h.view_as(before.h), after.c.view_as(before.c))

    def returns(self, act: Act, solutions: Tensor, rollouts: int, generator: torch.Generator) -> DreamResult:
        """Run ``rollouts`` dreams with each candidate, all with the same starts and noise (eq. 6 of docs/method.md).

        Args:
            act: the controller.
            solutions: (P, N), one candidate's parameters per row, on the memory's device.
            rollouts: R.
            generator: on any device; the numbers it draws do not depend on ``solutions``.
        """
        return self.run(act, solutions, *self.draw(rollouts, generator))

    @torch.inference_mode()
    def run(self, act: Act, solutions: Tensor, start: DreamStart, noise: Noise) -> DreamResult:
        """``returns`` for R given starts and noise (horizon, R): common random numbers for all candidates."""
        candidates = max(1, self.config.max_batch // len(start.z))
        parts = [self._run(act, part, start, noise) for part in solutions.split(candidates)]
        return DreamResult(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _run(self, act: Act, solutions: Tensor, start: DreamStart, noise: Noise) -> DreamResult:
        rows = DreamBatch(len(solutions), len(start.z), self.ensemble_size, self._device, self._multiple)
        seen = torch.zeros(rows.dreams + 1, self.feature_dim, device=self._device)
        state = self.reset(start, rows.rollout)
        for t in range(self.config.horizon):
            if t % COMPACT_EVERY == 0:
                state = rows.compact(state)
                if rows.index.numel() == 0:
                    break
            seen.index_copy_(0, rows.index.flatten(), self.features(state).flatten(0, 1))
            action = rows.take(act(solutions, seen[:-1].view(len(solutions), len(start.z), -1)))  # (E, B, A)
            state, reward, terminated, left = self._step(state, action, noise.select(t, rows.rollout))
            rows.record(reward, terminated, left)
        return rows.result()


def _range(low: Tensor, high: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The box (Z,), (Z,) that a dream may not leave; unbounded in dimensions that are constant in the data."""
    span = high - low
    room = torch.where((span > 0) & span.isfinite(), margin * span, torch.inf)
    return low - room, high + room
