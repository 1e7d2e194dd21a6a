"""The convolutional VAE of the paper (appendix A.1), on 64×64 RGB frames."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.common.device import Precision, autocast
from worldmodels.common.params import Count, Fraction, NonNegative, Positive, settings
from worldmodels.vision.base import Vision, frames_to_float, sample_z


@settings
class VAEConfig:
    """The VAE and its training. Defaults are the paper's where it gives them.

    Attributes:
        z_dim: latent dimensions.
        width: channels of the first convolution; the others have 2, 4 and 8 times as many.
        beta: weight of the KL term.
        free_bits: nats per latent dimension which the KL of a frame may have without being penalised.
        foreground_weight: a pixel whose distance from the data's mean frame is d, in [0, 1], counts
            1 + foreground_weight · d times; 0 counts all pixels alike. Keeps a ball on the screen from being lost.
        precision: of the convolutions and matrix products, in training and ever after (``worldmodels.common.device``).
        learning_rate: Adam's.
        batch_size: frames per update.
        epochs: passes over the training frames.
        validation_fraction: share of the episodes that is kept for validation, in [0, 1].
        grad_clip: largest norm of the gradient; 0 does not clip.
    """

    z_dim: Count = 32
    width: Count = 32
    beta: NonNegative = 1.0
    free_bits: NonNegative = 0.5
    foreground_weight: NonNegative = 0.0
    precision: Precision = "auto"
    learning_rate: Positive = 1e-4
    batch_size: Count = 100
    epochs: Count = 10
    validation_fraction: Fraction = 0.1
    grad_clip: NonNegative = 0.0


class VAE(Vision):
    """V of the paper: 64×64×3 → conv 31, 14, 6, 2 → (mu, logvar) → z → deconv 5, 13, 30, 64 → 64×64×3.

    Layers run in ``config.precision``; (mu, logvar), pixels and the loss are float32 whatever it is.
    """

    kind = "vae"

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.z_dim = config.z_dim
        width = config.width
        features = 32 * width  # 8 width channels × 2 × 2
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, width, 4, stride=2), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 4, stride=2), nn.ReLU()),
            *(nn.Conv2d(2 * width, 4 * width, 4, stride=2), nn.ReLU()),
            *(nn.Conv2d(4 * width, 8 * width, 4, stride=2), nn.ReLU()),
            nn.Flatten(),
        )
        self.posterior = nn.Linear(features, 2 * config.z_dim)
        self.expand = nn.Linear(config.z_dim, features)
        self.first_deconv = nn.ConvTranspose2d(features, 4 * width, 5, stride=2)
        self.decoder = nn.Sequential(
            nn.ReLU(),
            *(nn.ConvTranspose2d(4 * width, 2 * width, 5, stride=2), nn.ReLU()),
            *(nn.ConvTranspose2d(2 * width, width, 6, stride=2), nn.ReLU()),
            nn.ConvTranspose2d(width, 3, 6, stride=2),
        )
        for convolutions in (self.encoder, self.decoder):  # as the frames lie in memory; a tenth to a quarter faster
            convolutions.to(memory_format=torch.channels_last)

    def encode(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 frames (B, 64, 64, 3) to (mu, logvar), both (B, Z) float32."""
        return self.posterior_of(frames_to_float(obs))

    def posterior_of(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 64, 64) in [0, 1] to (mu, logvar), both (B, Z) float32."""
        with autocast(self.config.precision, pixels.device):
            both = self.posterior(self.encoder(pixels))  # (B, 2Z)
        mu, logvar = both.float().chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """(B, Z) to pixels (B, 3, 64, 64) float32 in [0, 1]."""
        with autocast(self.config.precision, z.device):
            small = one_pixel_deconv(self.first_deconv, self.expand(z))  # (B, 4 width, 5, 5)
            logits = self.decoder(small)
        return torch.sigmoid(logits.float())

    def forward(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, 64, 64) and standard normal (B, Z) to (reconstruction, mu, logvar)."""
        mu, logvar = self.posterior_of(pixels)
        return self.decode(sample_z(mu, logvar, noise)), mu, logvar

    def settings(self) -> dict[str, Any]:
        """The configuration as a dict."""
        return asdict(self.config)


def one_pixel_deconv(layer: nn.ConvTranspose2d, pixel: Tensor) -> Tensor:
    """``layer`` on an image of one pixel, (B, in) to (B, out, k, k), as one matrix product.

    A transposed convolution spreads each input pixel over a k×k patch; with a single pixel nothing overlaps, so it
    is a linear map. The library's convolution is several times slower at it.
    """
    channels, size = layer.weight.shape[1], layer.weight.shape[2:]
    bias = None if layer.bias is None else layer.bias.repeat_interleave(size.numel())  # (out k k,)
    return F.linear(pixel, layer.weight.flatten(1).T, bias).unflatten(1, (channels, *size))
