"""The choice of the form of M's reward, from the data."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.common.seeding import numpy_rng, torch_init
from worldmodels.holdout import split_episodes
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.outcome import OutcomeHeads, step_change
from worldmodels.memory.stats import WorldStats
from worldmodels.memory.windows import LatentBatch, gather
from worldmodels.vision.latents import LatentStore

Form = Literal["free", "potential"]

_FORMS: tuple[Form, Form] = ("free", "potential")
MARGIN = 0.1  # of the reward's variance
_UPDATES, _ROWS, _HELD_OUT_ROWS, _RATE = 400, 512, 4096, 3e-3


def choose_reward_form(store: LatentStore, stats: WorldStats, config: MDNRNNConfig, stream: Sequence[Any]) -> Form:
    """``potential``, unless ``free`` explains more of the held-out rewards' variance by more than ``MARGIN``.

    A potential keeps a dream from earning where M errs, but there are rewards that it cannot express, such as a cost of
    every step that depends on the state (Pendulum's). Reward heads do not read h, so both can be fitted alone, here in
    a second or two.

    Args:
        stats: of the store.
        stream: names the random stream; begins with the run's seed.
    """
    unexplained = {form: _unexplained(store, replace(config, reward_form=form), stats, stream) for form in _FORMS}
    return "potential" if unexplained["potential"] <= unexplained["free"] + MARGIN else "free"


def _unexplained(store: LatentStore, config: MDNRNNConfig, stats: WorldStats, stream: Sequence[Any]) -> float:
    """The mean squared error of standardised rewards on held-out episodes after a short training."""
    train, held_out = split_episodes(len(store), stream[0])
    with torch_init(*stream, "reward-form"):
        one = replace(config, ensemble_size=1)
        heads = OutcomeHeads(one, store.z_dim, store.action_dim, stats.terminated_rate)
    optimizer = torch.optim.Adam(heads.reward.parameters(), lr=_RATE)
    rng = numpy_rng(*stream, "reward-form")
    for _ in range(_UPDATES):
        optimizer.zero_grad()
        _error(heads, stats, _steps(store, train, _ROWS, rng)).backward()
        optimizer.step()
    with torch.no_grad():
        return float(_error(heads, stats, _steps(store, held_out, _HELD_OUT_ROWS, rng)))


def _steps(store: LatentStore, episodes: NDArray, count: int, rng: np.random.Generator) -> LatentBatch:
    """Random steps of ``episodes`` as windows of one step, (1, B, 1, …)."""
    lengths = store.lengths[episodes]
    chosen = rng.choice(len(episodes), (1, count), p=lengths / lengths.sum())
    offset = rng.integers(lengths[chosen])
    return gather(store, episodes[chosen], offset, 1, rng, np.ones_like(chosen, bool))


def _error(heads: OutcomeHeads, stats: WorldStats, batch: LatentBatch) -> torch.Tensor:
    z, action, z_next, reward, terminated = (
        x[:, :, 0] for x in (batch.z, batch.action, batch.z_next, batch.reward, batch.terminated)
    )
    predicted, goes_on = heads.reward(z, action, step_change(stats, z, z_next), z_next), ~terminated  # (1, B)
    wanted = (reward - stats.reward_mean) / stats.reward_scale
    return ((predicted - wanted).square() * goes_on).sum() / goes_on.sum().clamp(min=1)
