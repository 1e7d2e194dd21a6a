"""What is different where V, M and the dream have an accelerator: numbers, transfers, and data that stays there.

Sums, states, losses and all that is stored are float32 on every device; only products may be done in other numbers.
"""

import torch
from torch import Tensor

from worldmodels.common.params import Precision


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that matrix products and convolutions get on ``device``."""
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    return getattr(torch, precision)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which layers with float32 weights multiply in ``precision``.

    Rounded weights are not kept: threads would share them, and their gradients' graph with them.
    """
    dtype = product_dtype(precision, device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=False)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``; the copy runs beside the computation where the device allows it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def has_room(size: int, device: torch.device) -> bool:
    """Whether data of ``size`` bytes can stay in an accelerator's memory, leaving half of what is free to the work."""
    return device.type == "cuda" and 2 * size <= torch.cuda.mem_get_info(device)[0]


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":  # elsewhere torch emulates it, at a fraction of float32's speed
        return any(getattr(torch.cpu, f"_is_{unit}_supported", bool)() for unit in ("avx512_bf16", "amx_tile"))
    return False
