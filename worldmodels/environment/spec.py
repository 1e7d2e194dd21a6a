"""Environment properties that the models depend on, and the conversion between the two forms of an action."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """An environment's properties as plain values, so that manifests and checkpoints can store them.

    Attributes:
        id: the Gymnasium id.
        observation: ``pixel`` (uint8 frames) or ``state`` (float32 vector).
        obs_shape: (64, 64, 3) or (S,).
        action: ``discrete`` or ``box``.
        action_dim: A: number of actions, or dimensions of the box.
        action_low, action_high: the box's bounds, A values each; empty for discrete actions.
        action_start: the first discrete action's number.
        solved_return: mean return that counts as solved; None if not defined.
        truth: names of the values that are recorded beside the observations (``EnvConfig.truth``).
    """

    id: str
    observation: Literal["pixel", "state"]
    obs_shape: tuple[int, ...]
    action: Literal["discrete", "box"]
    action_dim: int
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    action_start: int = 0
    solved_return: float | None = None
    truth: tuple[str, ...] = ()

    def encode_action(self, action: NDArray) -> NDArray[np.float32]:
        """Environment form, int (…) or float (…, A) in the box, to float32 (…, A): one-hot, or scaled to [-1, 1]."""
        if self.action == "discrete":
            return np.eye(self.action_dim, dtype=np.float32)[np.asarray(action) - self.action_start]
        low, high = self._bounds()
        span = np.where(high > low, high - low, 1)  # a dimension without a choice is -1
        return (2 * (np.asarray(action) - low) / span - 1).astype(np.float32)

    def decode_action(self, encoded: NDArray) -> NDArray:
        """Encoded (…, A) to environment form: the largest entry's int64 (…), or float32 (…, A) clipped to the box."""
        if self.action == "discrete":
            return np.asarray(encoded).argmax(-1) + self.action_start
        low, high = self._bounds()
        scaled = low + (np.clip(encoded, -1, 1) + 1) * (high - low) / 2
        return np.clip(scaled.astype(np.float32), low, high, dtype=np.float32)

    def action_space(self) -> gym.Space:
        """The action space in environment form."""
        if self.action == "discrete":
            return gym.spaces.Discrete(self.action_dim, start=self.action_start)
        low, high = self._bounds()
        return gym.spaces.Box(low, high, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EnvSpec":
        """The inverse of ``to_dict``."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)

    def _bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.asarray(self.action_low, np.float32), np.asarray(self.action_high, np.float32)
