"""M on disk."""

from dataclasses import asdict
from pathlib import Path

import torch

from worldmodels.common import checkpoint
from worldmodels.common.checkpoint import CheckpointError
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig

_KIND = "mdnrnn"
BEST = "best.pt"


def save_memory(path: Path, model: MDNRNN) -> None:
    """Save M with its config, units and ranges. The bytes depend on these and the weights alone."""
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    dims = {"z_dim": model.z_dim, "action_dim": model.action_dim}
    checkpoint.save(path, {"kind": _KIND, "config": asdict(model.config), **dims, "state": state})


def load_memory(path: Path, device: str | torch.device = "cpu") -> MDNRNN:
    """M as it was saved, on ``device``, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged or no M.
    """
    content = checkpoint.load(path)
    if content.get("kind") != _KIND:
        raise CheckpointError(f"{path}: holds {content.get('kind')!r}, not an M ({_KIND})")
    model = MDNRNN(MDNRNNConfig(**content["config"]), content["z_dim"], content["action_dim"])
    model.load_state_dict(content["state"])
    return model.to(device).eval()
