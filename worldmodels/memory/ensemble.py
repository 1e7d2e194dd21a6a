"""Layers of an ensemble: every member has its own weights, and one call computes all members.

Shapes: E members, N rows, I inputs, O outputs.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import silu


class Linear(nn.Module):
    """x (E, N, I) · weight (E, I, O) + bias (E, 1, O)."""

    def __init__(self, ensemble_size: int, inputs: int, outputs: int) -> None:
        super().__init__()
        reach = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(ensemble_size, inputs, outputs).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.zeros(ensemble_size, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(E, N, O) float32; the product is in the weights' or autocast's dtype."""
        return torch.baddbmm(self.bias, x.to(self.weight.dtype), self.weight).float()


class Perceptron(nn.Module):
    """Linear layers with SiLU between them.

    Args:
        sizes: of the input, the hidden layers and the output.
    """

    def __init__(self, ensemble_size: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(ensemble_size, *pair) for pair in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """x (E, N, I) to (E, N, O)."""
        first, *later = self.layers
        x = first(x)
        for layer in later:
            x = layer(silu(x))
        return x
