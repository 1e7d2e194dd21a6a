"""What M's likelihood has to beat: a prediction that knows nothing, and one that nothing changes."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.memory.stats import WorldStats
from worldmodels.records import LatentEpisode
from worldmodels.vision.base import posterior_std
from worldmodels.vision.latents import LatentStore

_EPISODES = 256  # at most, for each of the two passes
_SMALLEST = 1e-12


class Baselines(NamedTuple):
    """Negative log likelihoods in nats per continuous dimension, comparable with M's ``nll``.

    Attributes:
        unit_gaussian: of a standard normal for M's target: z_next of a VAE, the change in units of its own spread of a
            state.
        copy_last: of a Gaussian around the last z, with each dimension's own spread.
    """

    unit_gaussian: float
    copy_last: float


def baselines(store: LatentStore, stats: WorldStats, train: NDArray, held_out: NDArray) -> Baselines:
    """The baselines on the episodes ``held_out``; spreads are those of ``train``. Expectations over z are exact."""
    kept = ~stats.binary.cpu().numpy()
    if not kept.any():
        return Baselines(0.0, 0.0)
    scale = stats.scale.cpu().numpy()[kept]
    target, change = _squares(store, float(stats.delta), held_out), _squares(store, 1.0, held_out)
    spread = np.maximum(_squares(store, 1.0, train)[kept], _SMALLEST)
    gaussian = 0.5 * math.log(2 * math.pi) + 0.5 * target[kept] / scale**2
    copy = 0.5 * np.log(2 * math.pi * spread / scale**2) + 0.5 * change[kept] / spread
    return Baselines(float(gaussian.mean()), float(copy.mean()))


def _squares(store: LatentStore, delta: float, episodes: NDArray) -> NDArray[np.float64]:
    """E[(z_next - delta · z)²] of each dimension, (Z,), over all steps of up to ``_EPISODES`` episodes."""
    chosen = episodes[np.linspace(0, len(episodes) - 1, min(len(episodes), _EPISODES)).astype(int)]
    sums = [_of_episode(store.episode(int(i)), delta) for i in chosen]
    total, steps = (sum(part) for part in zip(*sums, strict=True))
    return np.asarray(total) / steps


def _of_episode(episode: LatentEpisode, delta: float) -> tuple[NDArray[np.float64], int]:
    variance = np.square(posterior_std(np.asarray(episode.logvar)), dtype=np.float64)
    off = np.square(episode.mu[1:] - delta * episode.mu[:-1], dtype=np.float64)
    return (off + variance[1:] + delta**2 * variance[:-1]).sum(0), len(episode)
