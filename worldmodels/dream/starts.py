"""Initial states of dreams: states recorded in the real environment, and the steps that led to them.

A dream may begin after a step that ended a life or a point (``EncodeConfig``); the episode goes on, and M's memory of
it with it.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.dream.config import DreamConfig
from worldmodels.vision.base import sample_z
from worldmodels.vision.latents import LatentStore


class RecordedStart(NamedTuple):
    """R recorded states, each with the W steps before it.

    Attributes:
        z: (R, W+1, Z), drawn from the posterior; the start is the last.
        action: (R, W, A), encoded; action[:, t] led from z[:, t] to z[:, t+1].
        known: (R, W) bool: the step belongs to the start's episode; before its first step there is none.
    """

    z: Tensor
    action: Tensor
    known: Tensor

    @classmethod
    def at(cls, z: Tensor) -> "RecordedStart":
        """Starts at z (R, Z), without steps before them."""
        return cls(z[:, None], z.new_zeros(len(z), 0, 0), z.new_zeros(len(z), 0, dtype=torch.bool))


class DrawsStarts(Protocol):
    """Where dreams begin."""

    def draw(self, count: int, generator: torch.Generator) -> RecordedStart:
        """``count`` starts, on the generator's device."""
        ...


class Starts:
    """Recorded initial states. Latents stay memory-mapped; of them only the drawn states are read.

    Args:
        store: the encoded episodes.
        initial_share: share of the starts at which an episode, a life or a point begins, uniform over these; the others
            are any observation that an action followed, uniform over observations.
        warmup: W, recorded steps before a start that M is to follow first; before an episode's first observation there
            are none.
    """

    def __init__(self, store: LatentStore, initial_share: float = 1.0, warmup: int = 0) -> None:
        self._store = store
        self._initial_share = initial_share
        after_an_end = np.flatnonzero(store.terminated) + 1
        self._initial = np.union1d(store.step_offset[:-1], after_an_end[after_an_end < store.steps])
        goes_on = len(self._initial) > len(store)
        self._warmup = warmup if initial_share < 1 or goes_on else 0

    @classmethod
    def of(cls, store: LatentStore, config: DreamConfig) -> "Starts":
        """The starts of dreams that are as ``config`` says."""
        return cls(store, config.initial_share, config.warmup)

    def draw(self, count: int, generator: torch.Generator) -> RecordedStart:
        """``count`` starts, on the generator's device; z is sampled afresh from (mu, logvar)."""
        store, device = self._store, generator.device
        episode, step = self._places(count, generator)  # (R,) each
        steps = step[:, None] + np.arange(-self._warmup, 1)  # (R, W+1) of the episode; negative: before it
        inside = np.maximum(steps, 0)
        rows = store.obs_offset[episode][:, None] + inside
        mu, logvar = (torch.from_numpy(column[rows]).to(device) for column in (store.mu, store.logvar))
        action = store.action[store.step_offset[episode][:, None] + inside[:, :-1]]  # (R, W, A)
        return RecordedStart(
            z=sample_z(mu, logvar, torch.randn(mu.shape, generator=generator, device=device)),
            action=torch.from_numpy(action).to(device),
            known=torch.from_numpy(steps[:, :-1] >= 0).to(device),
        )

    def _places(self, count: int, generator: torch.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Episode and step of each start; the initial ones first, in the same number in every draw of ``count``."""
        initial = round(count * self._initial_share)
        first = self._initial[self._pick(len(self._initial), initial, generator)]
        other = self._pick(self._store.steps, count - initial, generator)
        step = np.concatenate([first, other])  # in the store
        episode = self._store.step_offset.searchsorted(step, side="right") - 1
        return episode, step - self._store.step_offset[episode]

    @staticmethod
    def _pick(among: int, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` numbers below ``among``."""
        return torch.randint(among, (count,), generator=generator, device=generator.device).cpu().numpy()
