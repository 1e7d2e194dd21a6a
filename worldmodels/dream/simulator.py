"""The learned world as a batched simulator: every rollout of every candidate is one row of one batch.

A dream obeys the alignment law of ``worldmodels.records``: from z[t] and action[t] the memory M predicts reward[t],
terminated[t] and z[t+1]. Dream (p, r) of candidate p and rollout r is dreamt by ensemble member r mod E, so the batch
is (E, B) with B = P · ceil(R / E); make R a multiple of E, or rows are wasted.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from worldmodels.dream.starts import Starts
from worldmodels.memory.mdnrnn import MDNRNN, RNNState
from worldmodels.params import STRICT, Count, NonNegative, Positive

Act = Callable[[Tensor, Tensor], Tensor]
"""(solutions (P, N), features (P, R, F)) → encoded actions (P, R, A)."""

COMPACT_EVERY = 16  # steps between two looks for dreams that have ended; a look waits for an accelerator


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DreamConfig:
    """How dreams are dreamt.

    Attributes:
        horizon: steps after which a dream is truncated.
        temperature: τ of the mixture; above 1 the dream is less certain than M, and harder to exploit.
        starts: dreams start at recorded episode starts, or at any recorded state.
        end_on_leaving: a dream that leaves the range of the data terminates there.
        range_margin: how far beyond the data's range a dream may go, in units of that range, per dimension.
        max_batch: most dreams at once; more are done in turn.
    """

    horizon: Count = 1000
    temperature: Positive = 1.0
    starts: Literal["episode", "any"] = "episode"
    end_on_leaving: bool = True
    range_margin: NonNegative = 0.1
    max_batch: Count = 4096


class Noise(NamedTuple):
    """All that chance decides in the steps of dreams.

    Attributes:
        uniform: (…, Z) in [0, 1): picks the mixture's component, or the value of a binary dimension.
        normal: (…, Z) standard normal: where in that component.
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

    def at(self, *index: int | Tensor) -> "Noise":
        """The noise at an index of the leading shape."""
        return Noise(self.uniform[index], self.normal[index], self.end[index])

    def to(self, device: torch.device) -> "Noise":
        """The same on another device."""
        return Noise(self.uniform.to(device), self.normal.to(device), self.end.to(device))


class DreamState(NamedTuple):
    """Where dreams are between two steps.

    Attributes:
        z: (E, B, Z).
        rnn: (E, B, D), every dream's own member's.
        heard: (E, B, D): member 0's, having heard the same dreams. The hidden units of different members mean
            different things, and C reads member 0's, in the dream and in reality. None where C does not read h,
            or there is only member 0.
    """

    z: Tensor
    rnn: RNNState
    heard: RNNState | None


class DreamResult(NamedTuple):
    """What came of P · R dreams.

    Attributes:
        returns: (P, R) float32, sum of unscaled rewards.
        lengths: (P, R) int64, steps.
        terminated: (P, R) bool; the others were truncated at the horizon.
    """

    returns: Tensor
    lengths: Tensor
    terminated: Tensor


class Dream:
    """The simulator.

    Args:
        memory: M; its device is the simulator's.
        starts: recorded starts; None where ``run`` is given them (a worker, to whom no recordings are sent).
        config: horizon, temperature, …
        features: what the controller sees: ``zh`` is [z, h of member 0], ``z`` is z alone.
    """

    def __init__(
        self, memory: MDNRNN, starts: Starts | None, config: DreamConfig, features: Literal["z", "zh"] = "zh"
    ) -> None:
        self.memory = memory
        self.config = config
        self._starts = starts
        self._sees_h = features == "zh"
        self._low, self._high = _range(memory.stats.z_low, memory.stats.z_high, config.range_margin)
        initial = memory.initial_state(1).h  # (E, 1, D)
        self.members, self._device = len(initial), initial.device
        self.z_dim = len(self._low)
        self.feature_dim = self.z_dim + initial.shape[-1] * self._sees_h

    def draw(self, rollouts: int, generator: torch.Generator) -> tuple[Tensor, Noise]:
        """All that chance decides in ``rollouts`` dreams: starts (R, Z), and noise of leading shape (horizon, R)."""
        if self._starts is None:
            raise ValueError("this dream was made without starts; give them to run")
        start = self._starts.draw(rollouts, generator)
        noise = Noise.draw((self.config.horizon, rollouts), self.z_dim, generator)
        return start.to(self._device), noise.to(self._device)

    def reset(self, z: Tensor) -> DreamState:
        """Dreams that start at z (E, B, Z), one row of E for each member, with a zero RNN state."""
        rnn = self.memory.initial_state(z.shape[1])
        return DreamState(z, rnn, rnn if self._sees_h and self.members > 1 else None)

    def features(self, state: DreamState) -> Tensor:
        """What the controller sees, (E, B, F)."""
        if not self._sees_h:
            return state.z
        return torch.cat([state.z, (state.heard or state.rnn).h], dim=-1)

    def step(self, state: DreamState, action: Tensor, noise: Noise) -> tuple[DreamState, Tensor, Tensor]:
        """One step of every dream: the paper's P(z[t+1] | a[t], z[t], h[t]) at temperature τ, and what it pays.

        Args:
            action: (E, B, A), encoded.
            noise: of leading shape (E, B).

        Returns:
            The next state, reward (E, B) unscaled, terminated (E, B) bool.
        """
        output = self.memory.step(state.z, action, state.rnn)
        z = self.memory.sample(output, state.z, noise.uniform, noise.normal, self.config.temperature)
        terminated = noise.end < output.terminated_logit.sigmoid()
        if self.config.end_on_leaving:
            terminated = terminated | ~((z >= self._low) & (z <= self._high)).all(-1)  # NaN has left, too
        reward = torch.where(terminated, self.memory.terminal_reward(output), self.memory.step_reward(output))
        return DreamState(z, output.state, self._listen(state, action)), reward, terminated

    def _listen(self, state: DreamState, action: Tensor) -> RNNState | None:
        if state.heard is None:
            return None
        heard = RNNState(state.heard.h.flatten(0, 1), state.heard.c.flatten(0, 1))  # (E·B, D)
        heard = self.memory.listen(state.z.flatten(0, 1), action.flatten(0, 1), heard)
        return RNNState(heard.h.view_as(state.heard.h), heard.c.view_as(state.heard.c))

    def returns(self, act: Act, solutions: Tensor, rollouts: int, generator: torch.Generator) -> DreamResult:
        """Dream ``rollouts`` dreams with each candidate, all with the same starts and noise.

        Args:
            act: the controller.
            solutions: (P, N), one candidate's parameters a row, on the memory's device.
            rollouts: R.
            generator: on any device; what it draws does not depend on ``solutions``.
        """
        return self.run(act, solutions, *self.draw(rollouts, generator))

    @torch.inference_mode()
    def run(self, act: Act, solutions: Tensor, start: Tensor, noise: Noise) -> DreamResult:
        """``returns`` for given starts (R, Z) and noise (horizon, R): common random numbers for all candidates."""
        candidates = max(1, self.config.max_batch // len(start))
        parts = [self._run(act, part, start, noise) for part in solutions.split(candidates)]
        return DreamResult(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _run(self, act: Act, solutions: Tensor, start: Tensor, noise: Noise) -> DreamResult:
        rows = _Rows(len(solutions), len(start), self.members, self._device)
        seen = torch.zeros(rows.dreams + 1, self.feature_dim, device=self._device)
        state = self.reset(start[rows.rollout])
        for t in range(self.config.horizon):
            if t % COMPACT_EVERY == 0:
                state = rows.compact(state)
                if rows.index.numel() == 0:
                    break
            seen.index_copy_(0, rows.index.flatten(), self.features(state).flatten(0, 1))
            action = act(solutions, seen[:-1].view(len(solutions), len(start), -1))  # (P, R, A)
            state, reward, terminated = self.step(state, rows.take(action), noise.at(t, rows.rollout))
            rows.record(reward, terminated)
        return rows.result()


class _Rows:
    """Which dream each row (E, B) of the batch is, and what has come of every dream.

    Dreams are numbered p · R + r. Number P · R is nobody's: rows that fill up the rectangle have it, and what they
    dream is not recorded.
    """

    def __init__(self, candidates: int, rollouts: int, members: int, device: torch.device) -> None:
        self.dreams = candidates * rollouts
        self._shape = (candidates, rollouts)
        per_member = -(-rollouts // members)
        rollout = torch.arange(per_member * members, device=device).view(per_member, members).T  # (E, R/E)
        index = rollout[:, None] + rollouts * torch.arange(candidates, device=device)[:, None]  # (E, P, R/E)
        self.index = index.masked_fill(rollout[:, None] >= rollouts, self.dreams).flatten(1)  # (E, B)
        self.rollout = self.index % rollouts  # (E, B)
        self._returns = torch.zeros(self.dreams + 1, device=device)
        self._lengths = torch.zeros(self.dreams + 1, dtype=torch.int64, device=device)
        self._alive = torch.ones(self.dreams + 1, dtype=torch.bool, device=device)
        self._alive[-1] = False

    def compact(self, state: DreamState) -> DreamState:
        """Drop the rows whose dreams have ended, as far as all members can."""
        alive = self._alive[self.index]  # (E, B)
        batch = int(alive.sum(1).max())
        if batch == alive.shape[1]:
            return state
        kept = alive.byte().argsort(dim=1, descending=True, stable=True)[:, :batch]  # (E, B'), the living first
        self.index, self.rollout = self.index.gather(1, kept), self.rollout.gather(1, kept)
        member = torch.arange(len(kept), device=kept.device)[:, None]  # (E, 1)
        heard = state.heard and _pick(state.heard, member, kept)
        return DreamState(state.z[member, kept], _pick(state.rnn, member, kept), heard)

    def take(self, values: Tensor) -> Tensor:
        """Each row's entry (E, B, A) of values (P, R, A)."""
        return values.flatten(0, 1)[self.index.clamp(max=self.dreams - 1)]

    def record(self, reward: Tensor, terminated: Tensor) -> None:
        """Add a step's reward (E, B) to the dreams that have not ended, and end those that terminated (E, B)."""
        index = self.index.flatten()
        alive = self._alive[index]
        self._returns.index_add_(0, index, reward.flatten().where(alive, 0.0))
        self._lengths.index_add_(0, index, alive.long())
        self._alive.index_copy_(0, index, alive & ~terminated.flatten())

    def result(self) -> DreamResult:
        """All dreams, as they stand."""
        columns = (self._returns, self._lengths, ~self._alive)
        return DreamResult(*(column[:-1].view(self._shape) for column in columns))


def _range(low: Tensor, high: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The box (Z,), (Z,) that a dream may not leave. A dimension that never varied says nothing of its range."""
    span = high - low
    room = torch.where((span > 0) & span.isfinite(), margin * span, torch.inf)
    return low - room, high + room


def _pick(state: RNNState, *index: Tensor) -> RNNState:
    return RNNState(state.h[index], state.c[index])
