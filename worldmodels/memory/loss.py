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
    """The four losses of every step, each (E, B, L), zero where they do not apply.

    Returns:
        nll: negative log likelihood of z_next, averaged over its dimensions, in nats per dimension; continuous
            dimensions in units of WorldStats.scale.
        reward: squared error of the reward head on steps that do not terminate, standardised.
        terminal_reward: the same for the terminal reward head, on steps that terminate.
        terminated: cross entropy of the termination head, in nats; unweighted, so its probabilities are calibrated.
    """
    s = model.stats
    ends = batch.mask & batch.terminated
    goes_on = batch.mask & ~batch.terminated
    reward = (outcome.reward - (batch.reward - s.reward_mean) / s.reward_scale).square()
    terminal = (batch.reward - s.terminal_reward_mean) / s.terminal_reward_scale
    return {
        "nll": _nll(model, output, batch) * batch.mask,
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
    log_binary = -binary_cross_entropy_with_logits(output.binary_logit, batch.z_next, reduction="none")
    return -torch.where(s.binary, log_binary, log_prob).mean(-1)  # (E, B, L)


def step_counts(batch: LatentBatch) -> dict[str, Tensor]:
    """Number of steps to which each loss applies, (E,), at least 1."""
    steps, ends = batch.mask.sum((1, 2)), (batch.mask & batch.terminated).sum((1, 2))
    counts = {"nll": steps, "reward": steps - ends, "terminal_reward": ends, "terminated": steps}
    return {name: count.clamp(min=1) for name, count in counts.items()}


def mean_losses(losses: dict[str, Tensor], counts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each loss of each member, (E,), as a mean over ``counts`` steps; for a shard, its share of the batch's mean."""
    return {name: loss.sum((1, 2)) / counts[name] for name, loss in losses.items()}


def total_loss(config: MDNRNNConfig, losses: dict[str, Tensor]) -> Tensor:
    """The weighted sum to minimise, of the same shape as its parts."""
    rewards = losses["reward"] + losses["terminal_reward"]
    return losses["nll"] + config.reward_weight * rewards + config.terminated_weight * losses["terminated"]
