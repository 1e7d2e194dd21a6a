"""Saving and loading of M."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from worldmodels.common import checkpoint
from worldmodels.common.device import check_shapes
from worldmodels.common.params import parse_section
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.stats import WorldStats

_KIND = "mdnrnn"


def save_memory(path: Path, model: MDNRNN) -> None:
    """Save M with its config, units and ranges. The bytes depend only on these and the weights."""
    checkpoint.save(path, *pack_memory(model))


def load_memory(path: Path, device: str | torch.device = "cpu") -> MDNRNN:
    """The saved M, on ``device``, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, or contains no M.
    """
    return unpack_memory(*checkpoint.load(path, _KIND)).to(device)


def pack_memory(model: MDNRNN) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """M as arrays, and plain values that describe it."""
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    dims = {"z_dim": model.z_dim, "action_dim": model.action_dim}
    return weights, {"kind": _KIND, "config": asdict(model.config), **dims}


def unpack_memory(weights: Mapping[str, NDArray], about: Mapping[str, Any]) -> MDNRNN:
    """The inverse of ``pack_memory``; on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the settings say other sizes than the weights have.
        ParamError: they are not those of this version.
    """
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    config = parse_section("mdnrnn", about["config"], MDNRNNConfig, Path("a saved M"))
    own: dict[str, Any] = {
        name.removeprefix("stats."): value for name, value in tensors.items() if name.startswith("stats.")
    }
    stats = WorldStats(len(own["scale"]), **own)
    build = partial(MDNRNN, config, about["z_dim"], about["action_dim"], stats)
    check_shapes(build, weights, "M")
    model = build()
    model.load_state_dict(tensors)
    return model.eval()
