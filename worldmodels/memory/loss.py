"""Training losses of M, per step and member. Masked steps count 0; members do not mix."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from worldmodels.memory import mixture
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNOutput
from worldmodels.memory.outcome import Outcome
from worldmodels.memory.windows import LatentBatch


def step_losses(model: MDNRNN, output: MDNRNNOutput, outcome: Outcome, batch: LatentBatch) -> dict[str, Tensor]:
    """The losses of every step, each (E, B, L), zero where they do not apply.

    Returns:
        nll: negative log likelihood of z_next in units of WorldStats.scale, averaged over its dimensions that are not
            binary, in nats per dimension.
        binary: cross entropy of its binary dimensions given the others, averaged over these, in nats; absent if there
            is none.
        reward: squared error of the reward head on steps that do not terminate, standardised.
        terminal_reward: the same for the terminal reward head, on steps that terminate.
        terminated: cross entropy of the termination head, in nats; unweighted, so its probabilities are calibrated.
    """
    s = model.stats
    ends = batch.mask & batch.terminated
    goes_on = batch.mask & ~batch.terminated
    reward = (outcome.reward - (batch.reward - s.reward_mean) / s.reward_scale).square()
    terminal = (batch.reward - s.terminal_reward_mean) / s.terminal_reward_scale
    binary = {"binary": _binary(model, output, batch) * batch.mask} if model.has_binary else {}
    return {
        "nll": _nll(model, output, batch) * batch.mask,
        **binary,
        "reward": reward * goes_on,
        "terminal_reward": (outcome.terminal_reward - terminal).square() * ends,
        "terminated": batch.mask
        * binary_cross_entropy_with_logits(
            outcome.terminated_logit, batch.terminated.to(outcome.terminated_logit.dtype), reduction="none"
        ),
    }


def _nll(model: MDNRNN, output: MDNRNNOutput, batch: LatentBatch) -> Tensor:
    s = model.stats
    target = (batch.z_next - s.delta * batch.z_seen) / s.scale  # (E, B, L, Z)
    log_prob = mixture.log_prob(output.logpi, output.mean, output.logstd, target)
    return -_mean_where(~s.binary, log_prob)


def _binary(model: MDNRNN, output: MDNRNNOutput, batch: LatentBatch) -> Tensor:
    logit = model.binary_logit(output, batch.z, batch.action, batch.z_next)
    cross_entropy = binary_cross_entropy_with_logits(logit, batch.z_next, reduction="none")
    return _mean_where(model.stats.binary, cross_entropy)


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """The mean of values (…, Z) over the dimensions that are chosen (Z,); 0 if none is."""
    return torch.where(chosen, values, 0.0).sum(-1) / chosen.sum().clamp(min=1)


def step_counts(batch: LatentBatch) -> dict[str, Tensor]:
    """Number of steps to which each loss applies, (E,), at least 1."""
    steps, ends = batch.mask.sum((1, 2)), (batch.mask & batch.terminated).sum((1, 2))
    counts = {"nll": steps, "binary": steps, "reward": steps - ends, "terminal_reward": ends, "terminated": steps}
    return {name: count.clamp(min=1) for name, count in counts.items()}


def mean_losses(losses: dict[str, Tensor], counts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each loss of each member, (E,), as a mean over ``counts`` steps; for a shard, its share of the batch's mean."""
    return {name: loss.sum((1, 2)) / counts[name] for name, loss in losses.items()}


def total_loss(config: MDNRNNConfig, losses: dict[str, Tensor]) -> Tensor:
    """The weighted sum to minimise, of the same shape as its parts."""
    rewards = losses["reward"] + losses["terminal_reward"]
    events = losses["terminated"] + losses.get("binary", 0.0)
    return losses["nll"] + config.reward_weight * rewards + config.event_weight * events
