"""The LSTM (Hochreiter & Schmidhuber 1997): a step of all members at once, and whole windows by torch's own layer.

Shapes as in ``mdnrnn``: E, B, L, D; I is the size of an input.
"""

import torch
from torch import Tensor

_LSTM = 2  # oneDNN's number of this kind of layer


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (E, N, I) · weight (E, I, O) + bias (E, 1, O), in the weights' numbers or autocast's, given in float32."""
    return torch.baddbmm(bias, x.to(weight.dtype), weight).float()


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(h, c) after one step of an LSTM whose input, forget, output and candidate gates are ``gates`` (…, 4D).

    Every tanh(x) is written as 2 σ(2x) - 1, which costs a third here and lets one call do all four gates; the
    candidate's factor 2 is left to its weights, and c is kept doubled. The fewest calls win: at this size it is their
    overhead that a dream waits for.
    """
    i, f, o, candidate = torch.sigmoid(gates).chunk(4, -1)
    c = torch.addcmul(torch.sub(f * c, i, alpha=2), i, candidate, value=4)  # 2c = f · 2c + 2i · tanh
    return torch.addcmul(-o, o, torch.sigmoid(c), value=2), c  # h = o · tanh(c)


def unroll(x: Tensor, weight: Tensor, bias: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """A window of steps; ``cell`` over and over, but for rounding.

    Args:
        x: (E, B, L, I).
        weight: (E, I+D, 4D), bias: (E, 1, 4D): what ``cell`` gets its gates from. Products are in autocast's numbers.
        h, c: (E, B, D), before the first step.

    Returns:
        h after every step, (E, B, L, D), and c after the last, (E, B, D) float32.
    """
    device = x.device.type
    halved = torch.is_autocast_enabled(device) and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    layer = _in_bfloat16 if halved and device == "cpu" else _in_float32
    inward, recurrent = _torchs_gates(weight).mT.split((x.shape[-1], h.shape[-1]), -1)  # (E, 4D, I), (E, 4D, D)
    with torch.autocast(device, enabled=False):  # which would round c too
        members = zip(x.transpose(1, 2), inward, recurrent, _torchs_gates(bias)[:, 0], h, c / 2, strict=True)
        hs, cs = zip(*(layer(*member) for member in members), strict=True)
    return torch.stack(hs).transpose(1, 2), 2 * torch.stack(cs)


def _torchs_gates(x: Tensor) -> Tensor:
    """``cell``'s gates (…, 4D) in the order of torch's, the candidate's not doubled."""
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
    """The same with products in bfloat16 and c in float32; ``torch.lstm`` would round c too, and a c that grows by
    little steps would stand still."""
    x, inward, recurrent, h = (t.to(torch.bfloat16).contiguous() for t in (x, inward, recurrent, h))
    weights, states = (inward, recurrent, bias, torch.zeros_like(bias)), (h[None], c[None])
    sizes = (h.shape[-1], 1, True, False, False, torch.is_grad_enabled())  # D, layers, biases, …, training
    hs, _, c, _ = torch.ops.aten.mkldnn_rnn_layer(x, *weights, *states, False, [], _LSTM, *sizes)
    return hs, c[0]
