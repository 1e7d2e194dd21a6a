"""The interface of V: observations to (mu, logvar) and back. Also converts frames to floats, and samples z."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.arrays import module_of

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", NDArray[np.float32], "Tensor")

LOGVAR_EXACT = -60.0  # a logvar at or below this means: no noise, z = mu to the last bit


class Vision(ABC):
    """V: ``VAE`` for frames, ``StateNormaliser`` for states; other code need not distinguish them.

    Attributes:
        kind: the name it is saved under.
        z_dim: Z.
    """

    kind: str
    z_dim: int

    @abstractmethod
    def encode(self, obs: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(mu, logvar), both (B, Z) float32, of observations: (B, 64, 64, 3) uint8, or (B, S) float32."""

    @abstractmethod
    def decode(self, z: NDArray[np.float32]) -> NDArray:
        """(B, Z) float32 to observations: frames (B, 64, 64, 3) uint8, or states (B, S) float32."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain values from which the same V can be constructed, without its weights."""

    @abstractmethod
    def weights(self) -> dict[str, NDArray]:
        """The arrays that complete ``settings``."""


def frames_to_float(frames: Tensor) -> Tensor:
    """(B, 64, 64, 3) in 0 to 255 to (B, 3, 64, 64) float32 in [0, 1]; the only code that does this.

    The result is a channels-last view: the memory order is that of ``frames``.
    """
    return frames.permute(0, 3, 1, 2).float() / 255


def float_to_frames(pixels: Tensor) -> NDArray[np.uint8]:
    """(B, 3, 64, 64) in [0, 1] to (B, 64, 64, 3) uint8, for images."""
    return (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def sample_z(mu: Array, logvar: Array, noise: Array) -> Array:
    """z ~ N(mu, exp(logvar)) from standard normal ``noise``, all (…, Z); z = mu where logvar is ``LOGVAR_EXACT``.

    Accepts and returns NumPy arrays or tensors.
    """
    std: Any = posterior_std(logvar)
    return mu + std * noise


def posterior_std(logvar: Array) -> Array:
    """exp(logvar / 2), and exactly 0 where logvar is ``LOGVAR_EXACT``; arrays or tensors."""
    xp = module_of(logvar)
    return xp.where(logvar > LOGVAR_EXACT, xp.exp(0.5 * logvar), xp.zeros_like(logvar))
