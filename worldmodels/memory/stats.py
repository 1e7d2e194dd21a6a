"""What the data says about the world's ranges and units; travels with the model as buffers."""

import torch
from torch import Tensor, nn


class WorldStats(nn.Module):
    """Units and ranges taken from the training data.

    Attributes:
        delta: () float, 1: the mixture speaks of (z_next - z) / scale; 0: of z_next / scale.
        scale: (Z,) float, unit of the mixture's targets: the changes' own standard deviation in state
            environments, 1 for a VAE's z.
        binary: (Z,) bool, dimensions that are only ever 0 or 1.
        z_low, z_high: (Z,) float, range of z in the data.
        reward_mean, reward_scale, reward_low, reward_high: () float, mean, standard deviation and range of the
            rewards of steps that did not terminate.
        terminal_reward_mean, terminal_reward_scale, terminal_reward_low, terminal_reward_high: () float, the same
            for the rewards of steps that did.
        terminated_rate: () float, terminations per step.
    """

    delta: Tensor
    scale: Tensor
    binary: Tensor
    z_low: Tensor
    z_high: Tensor
    reward_mean: Tensor
    reward_scale: Tensor
    reward_low: Tensor
    reward_high: Tensor
    terminal_reward_mean: Tensor
    terminal_reward_scale: Tensor
    terminal_reward_low: Tensor
    terminal_reward_high: Tensor
    terminated_rate: Tensor

    def __init__(self, z_dim: int, **values: Tensor | float | bool) -> None:
        """Neutral units and unbounded ranges, but for what ``values`` says."""
        super().__init__()
        inf = torch.inf
        neutral: dict[str, Tensor | float | bool] = {
            "delta": 0.0,
            "scale": torch.ones(z_dim),
            "binary": torch.zeros(z_dim, dtype=torch.bool),
            "z_low": torch.full((z_dim,), -inf),
            "z_high": torch.full((z_dim,), inf),
            "terminated_rate": 0.01,
        }
        for kind in ("reward", "terminal_reward"):
            neutral |= {f"{kind}_mean": 0.0, f"{kind}_scale": 1.0, f"{kind}_low": -inf, f"{kind}_high": inf}
        if unknown := values.keys() - neutral.keys():
            raise ValueError(f"unknown statistics {sorted(unknown)}")
        for name, default in neutral.items():
            dtype = torch.bool if name == "binary" else torch.float32
            self.register_buffer(name, torch.as_tensor(values.get(name, default), dtype=dtype).clone())
