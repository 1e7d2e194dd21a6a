"""Validation of a trained M on held-out episodes."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.memory.loss import step_losses, total_loss
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNOutput, RNNState
from worldmodels.memory.outcome import Outcome
from worldmodels.memory.windows import LatentBatch, walk_through
from worldmodels.vision.latents import LatentStore

_LANES = 64  # episodes per batch


@torch.no_grad()
def validate(model: MDNRNN, store: LatentStore, episodes: NDArray, stream: Sequence[Any]) -> dict[str, float]:
    """Metrics of M on whole ``episodes``, teacher-forced, averaged over members.

    Returns:
        loss: the training objective. nll: nats per continuous dimension. binary: cross entropy in nats per
            binary dimension, if there is one. reward_rmse, terminal_reward_rmse: in the environment's
            units, of ordinary and of terminating steps. terminated: cross entropy in nats per step. recall, precision:
            of termination at a predicted probability of one half (0 where undefined). calibration: predicted over true
            number of terminations; 1 is right (0 where none happened). reward_at_gain, _at_loss, _elsewhere: the mean
            expected reward of the steps whose reward is above, below and exactly 0, where there are any: what is rare
            can be missed without a trace in the mean error.
    """
    totals: dict[str, Tensor] = {}
    state = model.initial_state(0)
    for batch in walk_through(store, episodes, _LANES, model.config.sequence_length, stream):
        batch = _for_members(batch.to(model.device), model.ensemble_size)
        if batch.fresh.any():
            state = model.initial_state(batch.z.shape[1])
        output = model.unroll(batch.z, batch.action, state)
        state = RNNState(*output.state)
        outcome = model.outcome(output, batch.z, batch.action, batch.z_next)
        for name, value in _sums(model, output, outcome, batch).items():
            totals[name] = totals.get(name, 0) + value.double().sum()
    return _metrics(model, {name: float(total) for name, total in totals.items()})


def _for_members(batch: LatentBatch, ensemble_size: int) -> LatentBatch:
    return LatentBatch(*(x.expand(ensemble_size, *x.shape[1:]) for x in batch))


def _sums(model: MDNRNN, output: MDNRNNOutput, outcome: Outcome, batch: LatentBatch) -> dict[str, Tensor]:
    predicted = torch.sigmoid(outcome.terminated_logit) * batch.mask
    ends = batch.mask & batch.terminated
    expected = model.expected_reward(outcome)
    kinds = {"gain": batch.reward > 0, "loss": batch.reward < 0, "none": batch.reward == 0}
    kinds = {name: batch.mask & kind for name, kind in kinds.items()}
    off = {
        "reward": model.step_reward(outcome) - batch.reward,
        "terminal_reward": model.terminal_reward(outcome) - batch.reward,
    }
    return step_losses(model, output, outcome, batch) | {
        "steps": batch.mask,
        "ends": ends,
        "reward_error": off["reward"].square() * (batch.mask & ~ends),
        "terminal_reward_error": off["terminal_reward"].square() * ends,
        "predicted": predicted,
        "called": predicted >= 0.5,
        "hits": ends & (predicted >= 0.5),
        **{f"steps_{name}": kind for name, kind in kinds.items()},
        **{f"expected_{name}": expected * kind for name, kind in kinds.items()},
    }


def _metrics(model: MDNRNN, totals: dict[str, float]) -> dict[str, float]:
    steps, ends = totals["steps"], totals["ends"]
    counts = {"nll": steps, "binary": steps, "reward": steps - ends, "terminal_reward": ends, "terminated": steps}
    losses = {name: torch.tensor(totals[name] / max(count, 1)) for name, count in counts.items() if name in totals}
    return {
        "loss": float(total_loss(model.config, losses)),
        "nll": float(losses["nll"]),
        **({"binary": float(losses["binary"])} if "binary" in losses else {}),
        "reward_rmse": (totals["reward_error"] / max(steps - ends, 1)) ** 0.5,
        "terminal_reward_rmse": (totals["terminal_reward_error"] / max(ends, 1)) ** 0.5,
        "terminated": float(losses["terminated"]),
        "recall": totals["hits"] / max(ends, 1),
        "precision": totals["hits"] / max(totals["called"], 1),
        "calibration": totals["predicted"] / max(ends, 1),
        **{
            f"reward_{where}": totals[f"expected_{name}"] / totals[f"steps_{name}"]
            for name, where in (("gain", "at_gain"), ("loss", "at_loss"), ("none", "elsewhere"))
            if totals[f"steps_{name}"]
        },
    }
