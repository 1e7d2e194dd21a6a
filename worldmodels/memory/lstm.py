"""The LSTM's recurrence: a step, and a whole window with its gradient written out (Hochreiter & Schmidhuber 1997).

Left to itself autograd multiplies and adds up the recurrent weights' gradient once a step; here it is one matrix
product for the window, over gradients of the gates that lie end to end. Shapes as in ``mdnrnn``: E, B, L, D.
"""

from typing import Any

import torch
from torch import Tensor


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (E, N, I) · weight (E, I, O) + bias (E, 1 or N, O), in the weights' numbers or autocast's, given in float32."""
    return torch.baddbmm(bias, x.to(weight.dtype), weight).float()


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(h, c) after one step of an LSTM whose input, forget, output and candidate gates are ``gates`` (…, 4D).

    Every tanh(x) is written as 2 σ(2x) - 1, which costs a third here and lets one call do all four gates; the
    candidate's factor 2 is left to its weights, and c is kept doubled. The fewest calls win: at this size it is their
    overhead that training waits for.
    """
    return _cell(torch.sigmoid(gates), c)[:2]


def unroll(projected: Tensor, recurrent: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """A window of steps.

    Args:
        projected: (E, L, B, 4D), what the inputs add to the gates, bias included.
        recurrent: (E, D, 4D). Under autocast its products are in autocast's numbers.
        h, c: (E, B, D), before the first step; no gradient flows back to them.

    Returns:
        h after every step, (E, L, B, D), and c after the last, (E, B, D).
    """
    device = projected.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else recurrent.dtype
    return _Unroll.apply(projected.float(), recurrent, h, c, dtype)


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, recurrent: Tensor, h: Tensor, c: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        weight = recurrent.to(dtype)
        hs, cs, squashed, opened = [h], [c], [], []
        for inputs in projected.unbind(1):
            sigma = (torch.bmm(hs[-1].to(dtype), weight) + inputs).sigmoid_()  # (E, B, 4D)
            h, c, s = _cell(sigma, cs[-1])
            squashed.append(sigma)
            opened.append(s)
            hs.append(h)
            cs.append(c)
        stacked = torch.stack(hs, 1)  # (E, L+1, B, D)
        ctx.save_for_backward(stacked, weight, *cs[:-1], *squashed, *opened)
        return stacked[:, 1:], c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        above, dc = gradients  # (E, L, B, D), (E, B, D)
        hs, weight, *saved = ctx.saved_tensors
        steps = above.shape[1]
        cs, squashed, opened = saved[:steps], saved[steps : 2 * steps], saved[2 * steps :]
        d_gates = above.new_empty(*above.shape[:3], weight.shape[-1])  # (E, L, B, 4D)
        dh = torch.zeros_like(dc)
        transposed = weight.mT.contiguous()
        for t in reversed(range(steps)):
            d_gates[:, t], dc = _cell_gradient(dh + above[:, t], dc, squashed[t], cs[t], opened[t])
            if t:
                dh = torch.bmm(d_gates[:, t].to(weight.dtype), transposed).to(dh.dtype)
        before, after = hs[:, :-1].flatten(1, 2), d_gates.flatten(1, 2)  # (E, L·B, D), (E, L·B, 4D)
        d_recurrent = torch.bmm(before.to(weight.dtype).mT, after.to(weight.dtype)).to(dh.dtype)
        return d_gates, d_recurrent, None, None, None


def _cell(sigma: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h, c and σ(c) from the squashed gates (…, 4D); c is doubled."""
    i, f, o, candidate = sigma.chunk(4, -1)
    c = torch.addcmul(torch.sub(f * c, i, alpha=2), i, candidate, value=4)  # 2c = f · 2c + 2i · tanh
    s = torch.sigmoid(c)
    return torch.addcmul(-o, o, s, value=2), c, s  # h = o · tanh(c)


def _cell_gradient(dh: Tensor, dc: Tensor, sigma: Tensor, c: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by the gates (…, 4D) and by the c before, from those by h and by the c after; ``_cell`` reversed."""
    i, f, o, candidate = sigma.chunk(4, -1)
    dc = torch.addcmul(dc, dh * o, s - s * s, value=2)
    d_sigma = torch.cat((dc * (4 * candidate - 2), dc * c, dh * (2 * s - 1), 4 * dc * i), -1)
    return d_sigma * (sigma - sigma * sigma), dc * f
