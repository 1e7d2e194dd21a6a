"""The VAE's objective: squared pixel error, and the KL divergence above a floor (docs/method.md, eq. 2; paper, A.1)."""

import torch
from torch import Tensor

from worldmodels.vision.config import VAEConfig

_RAREST = 0.003  # mean distance from the mean frame; a pixel that differs more rarely weighs hardly more


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, 1)), summed over dimensions: two (B, Z) to (B,), in nats."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1)


def distance(pixels: Tensor, mean_frame: Tensor) -> Tensor:
    """Largest distance of each pixel's channels (B, 3, 64, 64) from those of a mean frame: (B, 1, 64, 64)."""
    return (pixels - mean_frame).abs().amax(dim=1, keepdim=True)


def pixel_weights(pixels: Tensor, mean_frame: Tensor, usual: Tensor, foreground_weight: float) -> Tensor:
    """Eq. 3, the weight of a pixel: 1 + foreground_weight · d / sqrt(usual + 0.003), d its ``distance``.

    Of two things that are as far from the mean frame the rarer counts more: without the root a ball of one pixel weighs
    too little beside what changes often and over a large area. (The root is, for a pixel that has two values, in
    proportion to its standard deviation.)

    Args:
        pixels: (B, 3, 64, 64) in [0, 1].
        mean_frame: (1, 3, 64, 64) in [0, 1].
        usual: (1, 1, 64, 64), the mean of d in the data.

    Returns:
        (B, 1, 64, 64), at least 1.
    """
    return 1 + foreground_weight * distance(pixels, mean_frame) / (usual + _RAREST).sqrt()


def vae_loss(
    config: VAEConfig,
    pixels: Tensor,
    reconstruction: Tensor,
    mu: Tensor,
    logvar: Tensor,
    weights: Tensor | float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch and its parts.

    Args:
        pixels, reconstruction: (B, 3, 64, 64) in [0, 1].
        mu, logvar: (B, Z).
        weights: of the pixels, (B, 1, 64, 64).

    Returns:
        The loss, a scalar, and detached scalars: ``loss``, ``reconstruction`` (weighted squared error summed over a
        frame, mean over frames) and ``kl`` (nats per frame, before the floor).
    """
    error = weights * (reconstruction - pixels).square()  # (B, 3, 64, 64)
    squared = error.sum(dim=(1, 2, 3)).mean()
    kl = kl_divergence(mu, logvar)  # (B,)
    floor = config.free_bits * mu.shape[1]  # free bits: below it the KL has no gradient
    loss = squared + config.beta * torch.clamp(kl, min=floor).mean()
    parts = {"loss": loss, "reconstruction": squared, "kl": kl.mean()}
    return loss, {name: value.detach() for name, value in parts.items()}
