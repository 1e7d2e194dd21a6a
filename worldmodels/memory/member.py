"""Recurrent states of member 0 of M for use in a policy; NumPy arrays as inputs and outputs."""

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.memory.mdnrnn import MDNRNN, RNNState


class FollowedEpisodes:
    """Member 0's recurrent states of S episodes that run concurrently.

    Args:
        memory: M, on the CPU.
        slots: S.
    """

    def __init__(self, memory: MDNRNN, slots: int) -> None:
        self._memory = memory
        h, c = memory.initial_state(slots).member(0)  # (S, D)
        self._state = RNNState(h.clone(), c.clone())  # modified in place, slot by slot

    def h(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        """(B, D) hidden states of these slots."""
        return self._state.h.numpy()[slots]

    @torch.inference_mode()
    def advance(self, z: NDArray[np.float32], action: NDArray[np.float32], slots: NDArray[np.int64]) -> None:
        """One step of these slots: z (B, Z) and the encoded action (B, A)."""
        index = torch.from_numpy(slots)
        before = RNNState(self._state.h[index], self._state.c[index])
        after = self._memory.advance(torch.from_numpy(z), torch.from_numpy(action), before)
        self._state.h[index], self._state.c[index] = after


@torch.inference_mode()
def advanced(
    memory: MDNRNN, z: NDArray[np.float32], action: NDArray[np.float32], state: tuple[NDArray, ...]
) -> tuple[NDArray[np.float32], ...]:
    """Member 0's state (h, c), each (B, D), after a step by the encoded action (B, A) at z (B, Z)."""
    before = RNNState(*map(torch.from_numpy, state))
    return tuple(x.numpy() for x in memory.advance(torch.from_numpy(z), torch.from_numpy(action), before))
