"""Device-specific code for V, M and the dream: precision, transfers, and what takes a device's memory.

Sums, states, losses and all stored values are float32 on every device; only products may use another precision.
"""

from collections.abc import Callable, Mapping

import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.checkpoint import CheckpointError
from worldmodels.common.params import Precision


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of matrix products and convolutions on ``device``."""
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    return getattr(torch, precision)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which layers with float32 weights multiply in ``precision``.

    The cache of cast weights is off: threads would share its entries, and with them their autograd graph.
    """
    dtype = product_dtype(precision, device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=False)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``; the copy is asynchronous where the device supports it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def check_shapes(build: Callable[[], torch.nn.Module], weights: Mapping[str, NDArray], what: str) -> None:
    """Compare the shapes of a module with those of saved weights, before the module takes any memory.

    Raises:
        CheckpointError: they are others.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    except RuntimeError:  # more than can be counted
        wanted = {}
    if wanted != {name: value.shape for name, value in weights.items()}:
        raise CheckpointError(f"{what}: its settings say other sizes than its weights have; damaged, get it again")


def has_room(size: int, device: torch.device) -> bool:
    """Whether ``size`` bytes fit into an accelerator's memory and leave half of the free memory to the computation."""
    return device.type == "cuda" and 2 * size <= torch.cuda.mem_get_info(device)[0]


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":  # on other devices torch emulates it, at a fraction of float32's speed
        return any(getattr(torch.cpu, f"_is_{unit}_supported", bool)() for unit in ("avx512_bf16", "amx_tile"))
    return False
