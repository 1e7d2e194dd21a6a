"""Mixture density of one-dimensional Gaussians, one mixture per latent dimension (the paper's eq. of MDN, Bishop 1994).

Everywhere ``logpi``, ``mean``, ``logstd`` are (…, Z, K); ``logpi`` need not be normalised.
"""

import math

import torch
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def bound(x: Tensor, low: float, high: float) -> Tensor:
    """``x`` pressed smoothly into [low, high], low < 0 < high; 0 stays 0. Gradients are finite for every x."""
    return low + (high - low) * torch.sigmoid(x + math.log(-low / high))  # a sigmoid costs a tenth of a softplus here


def log_prob(logpi: Tensor, mean: Tensor, logstd: Tensor, target: Tensor) -> Tensor:
    """Log density of ``target`` (…, Z) in each dimension's mixture: log Σ_k π_k N(target; mean_k, std_k). (…, Z)."""
    logpi, mean, logstd = logpi.mT, mean.mT, logstd.mT  # (…, K, Z)
    deviation = (target[..., None, :] - mean) * torch.exp(-logstd)
    component = -0.5 * deviation.square() - logstd - _HALF_LOG_2PI
    return torch.logsumexp(logpi + component, -2) - torch.logsumexp(logpi, -2)


def expected(logpi: Tensor, mean: Tensor) -> Tensor:
    """Mean of each dimension's mixture, (…, Z)."""
    return (torch.softmax(logpi.mT, -2) * mean.mT).sum(-2)


def sample(
    logpi: Tensor, mean: Tensor, logstd: Tensor, uniform: Tensor, normal: Tensor, temperature: float = 1.0
) -> Tensor:
    """One draw from each dimension's mixture, by the inverse of the components' cumulated weights.

    Args:
        uniform: (…, Z) in [0, 1), chooses the component.
        normal: (…, Z) standard normal, the draw within it.
        temperature: τ > 0: logits / τ and standard deviations · sqrt(τ), as the paper's appendix has it. As τ → 0
            the draw becomes the heaviest component's mean.

    Returns:
        (…, Z).
    """
    weights = torch.softmax(
        logpi.mT / temperature, -2
    )  # (…, K, Z): over a short last dimension it is five times slower
    components = zip(weights.unbind(-2), mean.unbind(-1), logstd.unbind(-1), strict=True)  # (…, Z) each
    cumulated, chosen_mean, chosen_logstd = next(components)
    for weight, component_mean, component_logstd in components:  # a gather costs more than going through a handful
        beyond = uniform >= cumulated
        chosen_mean = torch.where(beyond, component_mean, chosen_mean)
        chosen_logstd = torch.where(beyond, component_logstd, chosen_logstd)
        cumulated = cumulated + weight
    return chosen_mean + normal * torch.exp(chosen_logstd) * math.sqrt(temperature)
