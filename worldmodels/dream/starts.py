"""Initial states of dreams: states recorded in the real environment, and the steps that led to them."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


class Starts:
    """Recorded initial states. Latents stay memory-mapped; only the drawn states are read.

    Args:
        store: the encoded episodes.
        kind: ``episode``: the first observation of an episode, uniform over episodes; ``any``: any observation that an
            action followed, uniform over observations.
        warmup: W, recorded steps before a start that M is to follow first; before the first observation there are none.
    """

    def __init__(self, store: LatentStore, kind: Literal["episode", "any"] = "episode", warmup: int = 0) -> None:
        self._store = store
        self._kind = kind
        self._warmup = warmup if kind == "any" else 0

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
        """Episode and step of each start."""
        store = self._store
        among = len(store) if self._kind == "episode" else store.steps
        picked = torch.randint(among, (count,), generator=generator, device=generator.device).cpu().numpy()
        if self._kind == "episode":
            return picked, np.zeros_like(picked)
        episode = store.step_offset.searchsorted(picked, side="right") - 1
        return episode, picked - store.step_offset[episode]
