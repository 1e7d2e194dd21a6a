"""The convolutional VAE of the paper (appendix A.1), on 64×64 RGB frames."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.common.device import autocast, upload
from worldmodels.records import FRAME_SHAPE
from worldmodels.vision.base import Vision, float_to_frames, frames_to_float, sample_z
from worldmodels.vision.config import VAEConfig

CONTRAST = 4.0  # of what differs from the mean frame, which is little where small things move over a still ground
_DARKEST = 1 / 510  # half a step of uint8: a pixel that is always black still has a finite logit


class VAE(nn.Module, Vision):
    """V of the paper: 64×64×3 → conv 32, 16, 8, 4 → (mu, logvar) → z → deconv 5, 13, 30, 64 → 64×64×3.

    The paper's convolutions are not padded (31, 14, 6, 2): they never see a frame's last two rows and columns, which is
    where Pong's ball leaves the field (``VAEConfig.padding``).

    It is centred: the encoder sees a frame's difference from the data's mean frame, and the decoder adds to that
    frame's logits. Otherwise V first learns the still ground, and small things that move over it late or never.

    Layers run in ``config.precision``; (mu, logvar), pixels and the loss are always float32.

    Args:
        mean_frame: (64, 64, 3) in 0 to 255; grey if absent. Saved with the weights.
    """

    kind = "vae"
    mean_frame: Tensor  # (1, 3, 64, 64) in [0, 1]

    def __init__(self, config: VAEConfig, mean_frame: NDArray | None = None) -> None:
        super().__init__()
        self.config = config
        self.z_dim = config.z_dim
        mean = np.full(FRAME_SHAPE, 127.5) if mean_frame is None else mean_frame
        self.register_buffer("mean_frame", frames_to_float(torch.as_tensor(mean)[None]).contiguous())
        width = config.width
        features, padding = 32 * width, config.padding  # 8 width channels × 2 × 2, as in the paper
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, width, 4, stride=2, padding=padding), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 4, stride=2, padding=padding), nn.ReLU()),
            *(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=padding), nn.ReLU()),
            *(nn.Conv2d(4 * width, 8 * width, 4, stride=2, padding=padding), nn.ReLU()),
            nn.Flatten(),
        )
        self.posterior = nn.Linear(4 * features if padding else features, 2 * config.z_dim)
        self.expand = nn.Linear(config.z_dim, features)
        self.first_deconv = nn.ConvTranspose2d(features, 4 * width, 5, stride=2)
        self.decoder = nn.Sequential(
            nn.ReLU(),
            *(nn.ConvTranspose2d(4 * width, 2 * width, 5, stride=2), nn.ReLU()),
            *(nn.ConvTranspose2d(2 * width, width, 6, stride=2), nn.ReLU()),
            nn.ConvTranspose2d(width, 3, 6, stride=2),
        )
        for convolutions in (self.encoder, self.decoder):  # the frames' memory order; 10 to 25 % faster
            convolutions.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.posterior.weight.device

    @torch.inference_mode()
    def encode(self, obs: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 frames (B, 64, 64, 3) to (mu, logvar), both (B, Z) float32."""
        mu, logvar = self.posterior_of(frames_to_float(upload(torch.from_numpy(obs), self.device)))
        return mu.cpu().numpy(), logvar.cpu().numpy()

    @torch.inference_mode()
    def decode(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(B, Z) to frames (B, 64, 64, 3) uint8."""
        return float_to_frames(self.pixels_of(torch.from_numpy(z).to(self.device)))

    def posterior_of(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 64, 64) in [0, 1] to (mu, logvar), both (B, Z) float32."""
        moved = CONTRAST * (pixels - self.mean_frame)
        with autocast(self.config.precision, pixels.device):
            both = self.posterior(self.encoder(moved))  # (B, 2Z)
        mu, logvar = both.float().chunk(2, dim=1)
        return mu, logvar

    def pixels_of(self, z: Tensor) -> Tensor:
        """(B, Z) to pixels (B, 3, 64, 64) float32 in [0, 1]."""
        with autocast(self.config.precision, z.device):
            small = one_pixel_deconv(self.first_deconv, self.expand(z))  # (B, 4 width, 5, 5)
            logits = self.decoder(small)
        return torch.sigmoid(logits.float() + torch.logit(self.mean_frame, eps=_DARKEST))

    def forward(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, 64, 64) and standard normal (B, Z) to (reconstruction, mu, logvar)."""
        mu, logvar = self.posterior_of(pixels)
        return self.pixels_of(sample_z(mu, logvar, noise)), mu, logvar

    def settings(self) -> dict[str, Any]:
        """The configuration as a dict."""
        return asdict(self.config)

    def weights(self) -> dict[str, NDArray]:
        """The parameters and the mean frame, by their names in ``state_dict``."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    def load_weights(self, weights: Mapping[str, NDArray]) -> None:
        """Load the arrays that ``weights`` returned.

        Raises:
            RuntimeError: they have other names or shapes.
        """
        self.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def one_pixel_deconv(layer: nn.ConvTranspose2d, pixel: Tensor) -> Tensor:
    """``layer`` on an image of one pixel, (B, in) to (B, out, k, k), as one matrix product.

    A transposed convolution maps each input pixel to a k×k patch; with a single pixel no patches overlap, so it is a
    linear map. The library's convolution is several times slower for this case.
    """
    channels, size = layer.weight.shape[1], layer.weight.shape[2:]
    bias = None if layer.bias is None else layer.bias.repeat_interleave(size.numel())  # (out k k,)
    return F.linear(pixel, layer.weight.flatten(1).T, bias).unflatten(1, (channels, *size))
