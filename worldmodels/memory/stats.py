"""Ranges and units of the training data, stored with the model as buffers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldmodels.vision.base import posterior_std
from worldmodels.vision.latents import LatentStore

_SMALLEST = 1e-6  # a dimension with a smaller spread is a constant
_SPREAD = 4.0  # standard deviations of the posterior that count as part of the data's range


class WorldStats(nn.Module):
    """Units and ranges of the training data.

    Attributes:
        delta: () float, 1: the mixture models (z_next - z) / scale; 0: it models z_next / scale.
        scale: (Z,) float, unit of the mixture's targets: the changes' own standard deviation in state environments, 1
            for a VAE's z.
        binary: (Z,) bool, dimensions whose values are all 0 or 1.
        z_low, z_high: (Z,) float, range of z in the data, including four posterior standard deviations around mu.
        reward_mean, reward_scale, reward_low, reward_high: () float, mean, standard deviation and range of the rewards
            of steps that did not terminate.
        terminal_reward_mean, terminal_reward_scale, terminal_reward_low, terminal_reward_high: () float, the same for
            the rewards of steps that did.
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
        """Neutral units and unbounded ranges, except those in ``values``."""
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


def world_stats(store: LatentStore) -> WorldStats:
    """The statistics of all recorded episodes; memory is bounded for any number of episodes.

    Rewards of terminating steps count as terminal, all others as ordinary. If no step terminates, terminal rewards get
    the range of the ordinary ones.
    """
    state = store.spec["observation"] == "state"
    changes, binary = _Moments(), np.full(store.z_dim, state)
    ordinary, terminal = _Moments(), _Moments()
    seen = _Moments()
    for episode in store.episodes():
        spread = _SPREAD * posterior_std(episode.logvar)  # dreams use sampled z, whose range is wider than that of mu
        seen.add(episode.mu - spread)
        seen.add(episode.mu + spread)
        changes.add(np.diff(episode.mu, axis=0))
        binary &= ((episode.mu == 0) | (episode.mu == 1)).all(0)
        ordinary.add(episode.reward[~episode.terminated])
        terminal.add(episode.reward[episode.terminated])
    scale = np.where(binary | (not state), 1.0, np.maximum(changes.std, _SMALLEST))
    rewards = ordinary if ordinary.count else terminal
    ends = terminal if terminal.count else rewards
    return WorldStats(
        store.z_dim,
        delta=float(state),
        scale=torch.as_tensor(scale),
        binary=torch.as_tensor(binary),
        z_low=torch.as_tensor(seen.low),
        z_high=torch.as_tensor(seen.high),
        **_range("reward", rewards, 0.0),
        **_range("terminal_reward", ends, float(rewards.std)),  # if all ends pay alike, their spread gives no unit
        terminated_rate=terminal.count / store.steps,
    )


def _range(name: str, moments: "_Moments", least_scale: float) -> dict[str, float]:
    scale = max(float(moments.std), least_scale)
    return {
        f"{name}_mean": float(moments.mean),
        f"{name}_scale": scale if scale > _SMALLEST else 1.0,
        f"{name}_low": float(moments.low),
        f"{name}_high": float(moments.high),
    }


class _Moments:
    """Mean, spread and range over the first axis of arrays that are added one at a time."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0
        self.low: Any = np.inf
        self.high: Any = -np.inf

    def add(self, values: NDArray) -> None:
        if len(values):
            self.count += len(values)
            self._sum = self._sum + values.sum(0, dtype=np.float64)
            self._squares = self._squares + np.square(values, dtype=np.float64).sum(0)
            self.low = np.minimum(self.low, values.min(0))
            self.high = np.maximum(self.high, values.max(0))

    @property
    def mean(self) -> Any:
        return self._sum / self.count

    @property
    def std(self) -> Any:
        return np.sqrt(np.maximum(self._squares / self.count - self.mean**2, 0.0))
