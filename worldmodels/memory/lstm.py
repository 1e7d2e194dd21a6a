"""The LSTM (Hochreiter & Schmidhuber 1997): single steps of all members at once, and whole windows with torch's layer.

Shapes as in ``mdnrnn``: E, B, L, D; I is the size of an input.
"""

import torch
from torch import Tensor

_LSTM = 2  # oneDNN's code of the LSTM mode


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(h, c) after one step of an LSTM whose input, forget, output and candidate gates are ``gates`` (…, 4D).

    Every tanh(x) is computed as 2 σ(2x) - 1, a third of the cost here, so that one call computes all four gates; the
    candidate's factor 2 is part of its weights, and c is stored doubled. The number of calls is minimised: at this size
    call overhead dominates the time of a dream.
    """
    i, f, o, candidate = torch.sigmoid(gates).chunk(4, -1)
    c = torch.addcmul(torch.sub(f * c, i, alpha=2), i, candidate, value=4)  # 2c = f · 2c + 2i · tanh
    return torch.addcmul(-o, o, torch.sigmoid(c), value=2), c  # h = o · tanh(c)


def unroll(x: Tensor, weight: Tensor, bias: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """A window of steps; equals repeated ``cell`` except for rounding.

    Args:
        x: (E, B, L, I).
        weight: (E, I+D, 4D), bias: (E, 1, 4D): they compute the gates of ``cell``. Products use autocast's dtype.
        h, c: (E, B, D), before the first step.

    Returns:
        h after every step, (E, B, L, D), and c after the last, (E, B, D) float32.
    """
    device = x.device.type
    halved = torch.is_autocast_enabled(device) and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    layer = _in_bfloat16 if halved and device == "cpu" else _in_float32
    inward, recurrent = _torchs_gates(weight).mT.split((x.shape[-1], h.shape[-1]), -1)  # (E, 4D, I), (E, 4D, D)
    with torch.autocast(device, enabled=False):  # autocast would round c too
        members = zip(x.transpose(1, 2), inward, recurrent, _torchs_gates(bias)[:, 0], h, c / 2, strict=True)
        hs, cs = zip(*(layer(*member) for member in members), strict=True)
    return torch.stack(hs).transpose(1, 2), 2 * torch.stack(cs)


def _torchs_gates(x: Tensor) -> Tensor:
    """``cell``'s gates (…, 4D) in torch's order, the candidate's not doubled."""
    i, f, o, candidate = x.chunk(4, -1)
    return torch.cat((i, f, candidate / 2, o), -1)


def _in_float32(
    x: Tensor, inward: Tensor, recurrent: Tensor, bias: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """x (L, B, I), inward (4D, I), recurrent (4D, D), bias (4D,), h and c (B, D) to hs (L, B, D) and c (B, D)."""
    weights = (inward.contiguous(), recurrent.contiguous(), bias, torch.zeros_like(bias))
    hs, _, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)
    return hs, c[0]


def _in_bfloat16(
    x: Tensor, inward: Tensor, recurrent: Tensor, bias: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """As ``_in_float32``, with products in bfloat16. ``torch.lstm`` would round c too and lose small increments."""
    x, inward, recurrent, h = (t.to(torch.bfloat16).contiguous() for t in (x, inward, recurrent, h))
    weights, states = (inward, recurrent, bias, torch.zeros_like(bias)), (h[None], c[None])
    sizes = (h.shape[-1], 1, True, False, False, torch.is_grad_enabled())  # D, layers, biases, …, training
    hs, _, c, _ = torch.ops.aten.mkldnn_rnn_layer(x, *weights, *states, False, [], _LSTM, *sizes)
    return hs, c[0]
