"""In which numbers V, M and the dream multiply. Sums, states, losses and all that is stored are float32 everywhere."""

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]
"""``auto`` is bfloat16 where the hardware multiplies it natively, float32 elsewhere.

It asks what the machine can do and times nothing, so a machine always gives the same answer, and the same bytes.
"""


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that matrix products and convolutions get on ``device``."""
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    return getattr(torch, precision)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which layers with float32 weights multiply in ``precision``."""
    dtype = product_dtype(precision, device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":  # elsewhere torch emulates it, at a fraction of float32's speed
        return any(getattr(torch.cpu, f"_is_{unit}_supported", bool)() for unit in ("avx512_bf16", "amx_tile"))
    return False
