"""Mixtures of one-dimensional Gaussians, one for each latent dimension (docs/method.md, eqs. 4 and 5; Bishop 1994).

In all functions ``logpi``, ``mean``, ``logstd`` are (…, Z, K); ``logpi`` need not be normalised.
"""

import math
from typing import Any

import torch
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def bound(x: Tensor, low: float, high: float) -> Tensor:
    """``x`` mapped smoothly into [low, high], low < 0 < high; 0 stays 0. Gradients are finite for every x."""
    return low + (high - low) * torch.sigmoid(x + math.log(-low / high))  # a sigmoid costs a tenth of a softplus here


def log_prob(logpi: Tensor, mean: Tensor, logstd: Tensor, target: Tensor) -> Tensor:
    """Log density of ``target`` (…, Z) in each dimension's mixture: log Σ_k π_k N(target; mean_k, std_k). (…, Z).

    No gradient flows back to ``target``.
    """
    return _LogProb.apply(*torch.broadcast_tensors(logpi.mT, mean.mT, logstd.mT, target[..., None, :]))


class _LogProb(torch.autograd.Function):
    """``log_prob`` of four (…, K, Z) with an explicit gradient: half as many passes through memory."""

    @staticmethod
    def forward(ctx: Any, logpi: Tensor, mean: Tensor, logstd: Tensor, target: Tensor) -> Tensor:
        precision = torch.exp(-logstd)
        deviation = (target - mean).mul_(precision)
        squared = deviation.square()
        prior = torch.log_softmax(logpi, -2)
        joint = (prior - logstd).sub_(squared, alpha=0.5)
        posterior = torch.log_softmax(joint, -2)
        # log Σ exp(joint) equals joint - posterior for every component; the most likely one is the most exact
        result = joint.amax(-2) - posterior.amax(-2) - _HALF_LOG_2PI
        posterior, prior = posterior.exp_(), prior.exp_()
        by_mean = deviation.mul_(posterior).mul_(precision)
        by_logstd = squared.sub_(1).mul_(posterior)
        ctx.save_for_backward(posterior.sub_(prior), by_mean, by_logstd)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        above = gradients[0][..., None, :]
        return *(above * by for by in ctx.saved_tensors), None


def expected(logpi: Tensor, mean: Tensor) -> Tensor:
    """Mean of each dimension's mixture, (…, Z)."""
    return (torch.softmax(logpi.mT, -2) * mean.mT).sum(-2)


def sample(
    logpi: Tensor, mean: Tensor, logstd: Tensor, uniform: Tensor, normal: Tensor, temperature: float | Tensor = 1.0
) -> Tensor:
    """One draw from each dimension's mixture, by inversion of the components' cumulative weights.

    Args:
        uniform: (…, Z) in [0, 1), selects the component.
        normal: (…, Z) standard normal, the draw within it.
        temperature: τ > 0: logits / τ and standard deviations · sqrt(τ), as in the paper's appendix. As τ → 0 the draw
            becomes the mean of the component with the largest weight.

    Returns:
        (…, Z).
    """
    weights = torch.softmax(
        logpi.mT / temperature, -2
    )  # (…, K, Z): a reduction over a short last dimension is five times slower
    components = zip(weights.unbind(-2), mean.unbind(-1), logstd.unbind(-1), strict=True)  # (…, Z) each
    cumulated, chosen_mean, chosen_logstd = next(components)
    for weight, component_mean, component_logstd in components:  # a gather costs more than a loop over a few components
        beyond = uniform >= cumulated
        chosen_mean = torch.where(beyond, component_mean, chosen_mean)
        chosen_logstd = torch.where(beyond, component_logstd, chosen_logstd)
        cumulated = cumulated + weight
    return chosen_mean + normal * torch.exp(chosen_logstd) * temperature**0.5
