"""The VAE's objective: squared pixel error, and the KL divergence above a floor (paper, appendix A.1)."""

import torch
from torch import Tensor

from worldmodels.vision.config import VAEConfig


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, 1)), summed over dimensions: two (B, Z) to (B,), in nats."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1)


def pixel_weights(pixels: Tensor, mean_frame: Tensor, foreground_weight: float) -> Tensor:
    """Weight of each pixel: 1 + foreground_weight · (largest distance of a channel from the mean frame).

    Args:
        pixels: (B, 3, 64, 64) in [0, 1].
        mean_frame: (1, 3, 64, 64) in [0, 1].

    Returns:
        (B, 1, 64, 64), at least 1.
    """
    return 1 + foreground_weight * (pixels - mean_frame).abs().amax(dim=1, keepdim=True)


def vae_loss(
    config: VAEConfig, pixels: Tensor, reconstruction: Tensor, mu: Tensor, logvar: Tensor, mean_frame: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch and its parts.

    Args:
        pixels, reconstruction: (B, 3, 64, 64) in [0, 1].
        mu, logvar: (B, Z).
        mean_frame: (1, 3, 64, 64) in [0, 1]; read only when ``config.foreground_weight`` is not 0.

    Returns:
        The loss, a scalar, and detached scalars: ``loss``, ``reconstruction`` (weighted squared error summed over a
        frame, mean over frames) and ``kl`` (nats per frame, before the floor).
    """
    error = (reconstruction - pixels).square()  # (B, 3, 64, 64)
    if config.foreground_weight:
        error = error * pixel_weights(pixels, mean_frame, config.foreground_weight)
    squared = error.sum(dim=(1, 2, 3)).mean()
    kl = kl_divergence(mu, logvar)  # (B,)
    floor = config.free_bits * mu.shape[1]  # free bits: below it the KL has no gradient
    loss = squared + config.beta * torch.clamp(kl, min=floor).mean()
    parts = {"loss": loss, "reconstruction": squared, "kl": kl.mean()}
    return loss, {name: value.detach() for name, value in parts.items()}
