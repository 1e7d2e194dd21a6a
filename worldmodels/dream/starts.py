"""Initial states of dreams: states recorded in the real environment."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.vision.base import sample_z
from worldmodels.vision.latents import LatentStore


class Starts:
    """Recorded initial states. Latents stay memory-mapped; only the drawn states are read.

    Args:
        store: the encoded episodes.
        kind: ``episode``: the first observation of an episode, uniform over episodes; ``any``: any observation that an
            action followed, uniform over observations. The RNN state starts at zero in both cases.
    """

    def __init__(self, store: LatentStore, kind: Literal["episode", "any"] = "episode") -> None:
        self._store = store
        self._kind = kind

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` starts z (count, Z), on the generator's device; z is sampled afresh from (mu, logvar)."""
        rows = self._rows(count, generator)
        device = generator.device
        mu = torch.from_numpy(self._store.mu[rows]).to(device)  # (count, Z)
        logvar = torch.from_numpy(self._store.logvar[rows]).to(device)  # (count, Z)
        return sample_z(mu, logvar, torch.randn(mu.shape, generator=generator, device=device))

    def _rows(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        store = self._store
        among = len(store) if self._kind == "episode" else store.steps
        picked = torch.randint(among, (count,), generator=generator, device=generator.device).cpu().numpy()
        if self._kind == "episode":
            return store.obs_offset[picked]
        episode = store.step_offset.searchsorted(picked, side="right") - 1
        return picked + episode  # an episode has one more observation than steps
