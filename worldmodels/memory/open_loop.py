"""M in open loop: its predictions, fed back as inputs, against the recording. Tells how long a dream can be true."""

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
from worldmodels.vision.probe import LinearProbe, fit_probe, r_squared

HORIZONS = (1, 4, 8, 15, 30, 60)  # steps
REWARD_STEPS = 30  # whose sum is compared
CONTEXT = 10  # steps with recorded inputs before M's predictions are fed back
SEGMENTS = 256  # number of starts
_PROBED = 20_000  # observations that a probe is fitted to


class OpenLoopRow(NamedTuple):
    """Errors at one horizon: root mean squares over starts, members and dimensions that are not binary, in units of z.

    Attributes:
        horizon: steps since M's last recorded input.
        error: of M's mean prediction, fed back at every step, given the recorded actions.
        constant_error: of the prediction that nothing changes, on the same starts.
        r_squared: (G,) of each known value (``EnvConfig.truth``), read from M's prediction by a linear probe.
        starts: segments that were long enough.
    """

    horizon: int
    error: float
    constant_error: float
    r_squared: NDArray[np.float64]
    starts: int


class OpenLoop(NamedTuple):
    """M's open loop against the recording.

    Attributes:
        rows: by horizon; one that no segment reaches is omitted.
        reward_correlation: between expected and recorded rewards summed over ``REWARD_STEPS`` steps or up to the first
            that terminates; NaN if all sums are equal.
    """

    rows: list[OpenLoopRow]
    reward_correlation: float


@torch.no_grad()
def open_loop(
    model: MDNRNN,
    store: LatentStore,
    episodes: NDArray,
    stream: Sequence[Any],
    *,
    fitted_to: NDArray,
    horizons: Sequence[int] = HORIZONS,
) -> OpenLoop:
    """M's open loop from random points of ``episodes``; probes are fitted to the episodes ``fitted_to``."""
    segments = _segments(store, episodes, max(*horizons, REWARD_STEPS), stream)
    batch = segments.batch.to(model.device)
    predicted, reward = _predictions(model, batch)  # (H, E, B, Z), (H, B)
    reached = batch.mask[0, :, CONTEXT:]  # (B, H): step h was recorded
    probe = None if store.truth is None else _probe(store, fitted_to, stream)
    rows = [
        _row(model, store, segments, batch, predicted[h - 1], h, reached[:, h - 1], probe)
        for h in horizons
        if reached[:, h - 1].any()
    ]
    seen = batch.mask[0, :, CONTEXT : CONTEXT + REWARD_STEPS]  # (B, REWARD_STEPS)
    recorded, terminated = (x[0, :, CONTEXT : CONTEXT + REWARD_STEPS] for x in (batch.reward, batch.terminated))
    ends = (terminated & seen).cumsum(1)  # up to and with a step
    goes_on = seen & (ends == terminated)
    whole = seen[:, 0] & (seen[:, -1] | (ends[:, -1] > 0))  # (B,): the sum is known
    sums = reward[:REWARD_STEPS].sum(0)[whole], (recorded * goes_on).sum(1)[whole]
    return OpenLoop(rows, _correlation(*(x.double().cpu().numpy() for x in sums)))


class _Segments(NamedTuple):
    """Windows of recorded steps, and the row of truth after each step, (B, L)."""

    batch: LatentBatch
    rows: NDArray[np.int64]


def _segments(store: LatentStore, episodes: NDArray, horizon: int, stream: Sequence[Any]) -> _Segments:
    rng = numpy_rng(*stream, "memory-open-loop")
    episode = rng.choice(episodes, size=(1, SEGMENTS))
    # a full segment if the episode is long enough, otherwise as many steps as it has
    room = np.maximum(store.lengths[episode] - CONTEXT - horizon, 0)
    offset, length = rng.integers(room + 1), CONTEXT + horizon
    batch = gather(store, episode, offset, length, rng, np.ones_like(episode, bool))
    after = np.minimum(offset[..., None] + 1 + np.arange(length), store.lengths[episode][..., None])  # (1, B, L)
    return _Segments(batch, (store.obs_offset[episode][..., None] + after)[0])


def _predictions(model: MDNRNN, batch: LatentBatch) -> tuple[Tensor, Tensor]:
    """M's mean predictions (H, E, B, Z), and the rewards it expects of these steps, averaged over members (H, B)."""
    z, action = (x.expand(model.ensemble_size, -1, -1, -1) for x in (batch.z, batch.action))
    state = model.unroll(z[:, :, :CONTEXT], action[:, :, :CONTEXT], model.initial_state(z.shape[1])).state
    now, predicted, rewards = z[:, :, CONTEXT], [], []  # (E, B, Z)
    goes_on = torch.ones(z.shape[:2], device=z.device)  # (E, B), probability
    for t in range(CONTEXT, z.shape[2]):
        output = model.step(now, action[:, :, t], state)
        after, state = model.expected(output, now, action[:, :, t]), output.state
        outcome = model.outcome(output, now, action[:, :, t], after)
        rewards.append((goes_on * model.expected_reward(outcome)).mean(0))
        goes_on = goes_on * torch.sigmoid(-outcome.terminated_logit)
        predicted.append(after)
        now = after
    return torch.stack(predicted), torch.stack(rewards)


def _row(
    model: MDNRNN,
    store: LatentStore,
    segments: _Segments,
    batch: LatentBatch,
    predicted: Tensor,
    horizon: int,
    here: Tensor,
    probe: LinearProbe | None,
) -> OpenLoopRow:
    continuous = ~model.stats.binary
    kept = continuous if continuous.any() else ~continuous  # (Z,)
    start, target = batch.z[:, :, CONTEXT], batch.z_next[:, :, CONTEXT + horizon - 1]  # (1, B, Z)
    error, constant = ((x - target)[:, here][..., kept].square().mean().sqrt() for x in (predicted, start))
    explained = np.zeros(0)
    if probe is not None and store.truth is not None:
        chosen = here.cpu().numpy()
        truth = store.truth[segments.rows[chosen, CONTEXT + horizon - 1]]  # (N, G)
        explained = np.mean([r_squared(truth, probe.read(z[here].cpu().numpy())) for z in predicted], axis=0)
    return OpenLoopRow(horizon, float(error), float(constant), explained, int(here.sum()))


def _probe(store: LatentStore, episodes: NDArray, stream: Sequence[Any]) -> LinearProbe:
    """A probe fitted to random observations of ``episodes``."""
    assert store.truth is not None
    rows = np.concatenate([np.arange(*store.obs_offset[i : i + 2]) for i in episodes])
    rng = numpy_rng(*stream, "memory-probe")
    chosen = np.sort(rng.choice(rows, min(len(rows), _PROBED), replace=False))
    return fit_probe(store.mu[chosen], store.truth[chosen])


def _correlation(a: NDArray, b: NDArray) -> float:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
