"""Open-loop error of M: its predictions, fed back as inputs, against the recording."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.seeding import numpy_rng
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.windows import LatentBatch, gather
from worldmodels.vision.latents import LatentStore

HORIZONS = (1, 2, 5, 10, 20, 50)  # steps
CONTEXT = 10  # steps with recorded inputs before M's predictions are fed back
SEGMENTS = 256  # number of starts


class OpenLoopRow(NamedTuple):
    """Errors at one horizon: root mean squares over starts, members and dimensions that are not binary, in units of z.

    Attributes:
        horizon: steps since M's last recorded input.
        error: of M's mean prediction, fed back at every step, given the recorded actions.
        constant_error: of the prediction that nothing changes, on the same starts.
        starts: segments that were long enough.
    """

    horizon: int
    error: float
    constant_error: float
    starts: int


@torch.no_grad()
def open_loop(
    model: MDNRNN, store: LatentStore, episodes: NDArray, stream: Sequence[Any], horizons: Sequence[int] = HORIZONS
) -> list[OpenLoopRow]:
    """The error of M's open-loop predictions against the horizon, from random points of ``episodes``.

    A horizon that no segment reaches is omitted.
    """
    batch = _segments(store, episodes, max(horizons), stream).to(model.device)
    errors = _errors(model, batch)  # (B, H) each
    reached = batch.mask[0, :, CONTEXT:]  # (B, H): step h was recorded
    rows = []
    for horizon in horizons:
        here = reached[:, horizon - 1]
        if here.any():
            model_error, constant_error = (float(e[here, horizon - 1].mean().sqrt()) for e in errors)
            rows.append(OpenLoopRow(horizon, model_error, constant_error, int(here.sum())))
    return rows


def _segments(store: LatentStore, episodes: NDArray, horizon: int, stream: Sequence[Any]) -> LatentBatch:
    rng = numpy_rng(*stream, "memory-open-loop")
    episode = rng.choice(episodes, size=(1, SEGMENTS))
    # a full segment if the episode is long enough, otherwise as many steps as it has
    room = np.maximum(store.lengths[episode] - CONTEXT - horizon, 0)
    return gather(store, episode, rng.integers(room + 1), CONTEXT + horizon, rng, np.ones_like(episode, bool))


def _errors(model: MDNRNN, batch: LatentBatch) -> tuple[Tensor, Tensor]:
    """Squared errors of M and of the constant, averaged over members and continuous dimensions, both (B, H)."""
    continuous = ~model.stats.binary
    kept = continuous if continuous.any() else ~continuous  # (Z,)
    z, z_next, action = (x.expand(model.ensemble_size, -1, -1, -1) for x in (batch.z, batch.z_next, batch.action))
    state = model.unroll(z[:, :, :CONTEXT], action[:, :, :CONTEXT], model.initial_state(z.shape[1])).state
    now = start = z[:, :, CONTEXT]  # (E, B, Z)
    errors: list[Tensor] = []
    constant: list[Tensor] = []
    for t in range(CONTEXT, z.shape[2]):
        output = model.step(now, action[:, :, t], state)
        now, state = model.expected(output, now, action[:, :, t]), output.state
        errors.append((now - z_next[:, :, t])[..., kept].square().mean((0, 2)))
        constant.append((start - z_next[:, :, t])[..., kept].square().mean((0, 2)))
    return torch.stack(errors, 1), torch.stack(constant, 1)
