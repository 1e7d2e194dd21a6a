"""V on disk: one file, whichever kind it is."""

from pathlib import Path

import torch

from worldmodels.common import checkpoint
from worldmodels.common.checkpoint import CheckpointError
from worldmodels.vision.base import Vision
from worldmodels.vision.normaliser import StateNormaliser
from worldmodels.vision.vae import VAE, VAEConfig

BEST = "best.pt"


def save_vision(path: Path, vision: Vision) -> None:
    """Save V with its settings. The bytes depend on the weights and settings alone, not on the device."""
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in vision.state_dict().items()
    }
    checkpoint.save(path, {"kind": vision.kind, "config": vision.settings(), "state": state})


def load_vision(path: Path, device: str | torch.device = "cpu") -> Vision:
    """V as it was saved, on ``device``, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged or no V.
    """
    content = checkpoint.load(path)
    if content.get("kind") == VAE.kind:
        vision = VAE(VAEConfig(**content["config"]))
    elif content.get("kind") == StateNormaliser.kind:
        vision = StateNormaliser(**content["config"])
    else:
        raise CheckpointError(f"{path}: holds {content.get('kind')!r}, not a V (vae or normaliser)")
    vision.load_state_dict(content["state"])
    return vision.to(device).eval()
