"""Bookkeeping of a batch of dreams: which are running, and the return of each so far."""

import torch
from torch import Tensor

from worldmodels.dream.state import DreamResult, DreamState
from worldmodels.memory.mdnrnn import RNNState


class DreamBatch:
    """The dream of each row (E, B) of the batch, and the returns of all dreams.

    Dreams are numbered p · R + r. Number P · R marks padding rows; they are not recorded.

    Args:
        multiple: of which a batch that shrinks keeps its number of rows.
    """

    def __init__(
        self, candidates: int, rollouts: int, ensemble_size: int, device: torch.device, multiple: int = 1
    ) -> None:
        self.dreams = candidates * rollouts
        self._shape, self._multiple = (candidates, rollouts), multiple
        per_member = -(-rollouts // ensemble_size)
        rollout = torch.arange(per_member * ensemble_size, device=device).view(per_member, ensemble_size).T  # (E, R/E)
        index = rollout[:, None] + rollouts * torch.arange(candidates, device=device)[:, None]  # (E, P, R/E)
        self.index = index.masked_fill(rollout[:, None] >= rollouts, self.dreams).flatten(1)  # (E, B)
        self.rollout = self.index % rollouts  # (E, B)
        self._returns = torch.zeros(self.dreams + 1, device=device)
        self._lengths = torch.zeros(self.dreams + 1, dtype=torch.int64, device=device)
        self._alive = torch.ones(self.dreams + 1, dtype=torch.bool, device=device)
        self._alive[-1] = False
        self._left = torch.zeros_like(self._alive)
        self._last_reward = torch.zeros_like(self._returns)

    def compact(self, state: DreamState) -> DreamState:
        """Drop the rows of ended dreams, except that all members keep the same number, rounded up to the multiple."""
        alive = self._alive[self.index]  # (E, B)
        batch = -(-int(alive.sum(1).max()) // self._multiple) * self._multiple
        if batch >= alive.shape[1]:
            return state
        kept = alive.byte().argsort(dim=1, descending=True, stable=True)[:, :batch]  # (E, B'), running dreams first
        self.index, self.rollout = self.index.gather(1, kept), self.rollout.gather(1, kept)
        member = torch.arange(len(kept), device=kept.device)[:, None]  # (E, 1)
        controller_rnn = state.controller_rnn and _pick(state.controller_rnn, member, kept)
        return DreamState(state.z[member, kept], _pick(state.rnn, member, kept), controller_rnn)

    def take(self, values: Tensor) -> Tensor:
        """Each row's entry (E, B, A) of values (P, R, A)."""
        return values.flatten(0, 1)[self.index.clamp(max=self.dreams - 1)]

    def record(self, reward: Tensor, terminated: Tensor, left: Tensor) -> None:
        """Add a step's reward (E, B) to the dreams that are running, and end those that terminated (E, B).

        Args:
            left: (E, B) bool, which of these terminated because they left the range of the data.
        """
        index = self.index.flatten()
        alive = self._alive[index]
        self._returns.index_add_(0, index, reward.flatten().where(alive, 0.0))
        self._lengths.index_add_(0, index, alive.long())
        self._last_reward.index_add_(0, index, (reward.flatten() - self._last_reward[index]).where(alive, 0.0))
        self._left.index_copy_(0, index, self._left[index] | (alive & left.flatten()))
        self._alive.index_copy_(0, index, alive & ~terminated.flatten())

    def result(self) -> DreamResult:
        """The results of all dreams so far."""
        columns = (self._returns, self._lengths, ~self._alive, self._left, self._last_reward)
        return DreamResult(*(column[:-1].view(self._shape) for column in columns))


def _pick(state: RNNState, *index: Tensor) -> RNNState:
    return RNNState(state.h[index], state.c[index])
