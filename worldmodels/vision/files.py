"""Saving and loading of V, in one file for both kinds."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from worldmodels.common import checkpoint
from worldmodels.vision.base import Vision
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.normaliser import StateNormaliser

if TYPE_CHECKING:
    import torch


def save_vision(path: Path, vision: Vision) -> None:
    """Save V with its settings. The bytes depend only on the weights and settings, not on the device."""
    checkpoint.save(path, *pack_vision(vision))


def load_vision(path: Path, device: "str | torch.device" = "cpu") -> Vision:
    """The saved V, on ``device``, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, or contains no V.
    """
    return unpack_vision(*checkpoint.load(path, *_MAKERS), device)


def pack_vision(vision: Vision) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """V as arrays, and plain values that describe it."""
    return vision.weights(), {"kind": vision.kind, "config": vision.settings()}


def unpack_vision(
    weights: Mapping[str, NDArray], about: Mapping[str, Any], device: "str | torch.device" = "cpu"
) -> Vision:
    """The inverse of ``pack_vision``.

    Raises:
        KeyError: ``about`` does not describe a V.
        CheckpointError: the settings say other sizes than the weights have.
    """
    return _MAKERS[about["kind"]](weights, about["config"], device)


def _make_normaliser(weights: Mapping[str, NDArray], config: Mapping[str, Any], device: "str | torch.device") -> Vision:  # noqa: ARG001
    return StateNormaliser(**weights, **config)


def _make_vae(weights: Mapping[str, NDArray], config: Mapping[str, Any], device: "str | torch.device") -> Vision:
    from worldmodels.common.device import check_shapes  # imported late: a state environment needs no torch
    from worldmodels.vision.vae import VAE

    build = partial(VAE, VAEConfig(**config))
    check_shapes(build, weights, "V")
    vae = build()
    vae.load_weights(weights)
    return vae.to(device).eval()


_MAKERS = {"vae": _make_vae, "normaliser": _make_normaliser}
