"""What the models need to know of an environment, and the two forms of an action."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.environment.config import EnvConfig
from worldmodels.environment.make import make_env
from worldmodels.params import ParamError


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """An environment's shape: plain values, so that it travels through manifests and checkpoints.

    Attributes:
        id: the Gymnasium id.
        observation: ``pixel`` (uint8 frames) or ``state`` (float32 vector).
        obs_shape: (64, 64, 3) or (S,).
        action: ``discrete`` or ``box``.
        action_dim: A: number of actions, or dimensions of the box.
        action_low, action_high: the box's bounds, A values each; empty for discrete actions.
        action_start: the first discrete action's number.
        solved_return: mean return that counts as solved, None where nobody has said.
        max_episode_steps: upper bound of an episode's steps, None where the environment names none.
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
    max_episode_steps: int | None = None

    def encode_action(self, action: NDArray) -> NDArray[np.float32]:
        """Environment form, int (…) or float (…, A) in the box, to float32 (…, A): one-hot, or scaled to [-1, 1]."""
        if self.action == "discrete":
            return np.eye(self.action_dim, dtype=np.float32)[np.asarray(action) - self.action_start]
        low, high = self._bounds()
        return (2 * (np.asarray(action) - low) / (high - low) - 1).astype(np.float32)

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
        """Plain values, as JSON has them."""
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


def spec_of(config: EnvConfig) -> EnvSpec:
    """The spec of ``config``'s environment, found by making it and starting one episode.

    Raises:
        ParamError: unknown id, bad kwargs or crop, or spaces that are not supported.
    """
    env = make_env(config)
    try:
        env.reset(seed=0)  # a crop that does not fit a rendered frame shows here, not in a worker
        return EnvSpec(
            id=config.id,
            **_observation(env.observation_space),
            **_action(config.id, env.action_space),
            solved_return=_solved_return(config, env),
            max_episode_steps=_max_steps(config, env),
        )
    finally:
        env.close()


def _observation(space: gym.Space) -> dict[str, Any]:
    assert space.shape is not None and space.dtype is not None  # make_env gives a Box
    return {"observation": "pixel" if space.dtype == np.uint8 else "state", "obs_shape": space.shape}


def _action(env_id: str, space: gym.Space) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {"action": "discrete", "action_dim": int(space.n), "action_start": int(space.start)}
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded() and space.dtype.kind == "f":
        bounds = {"action_low": tuple(space.low.tolist()), "action_high": tuple(space.high.tolist())}
        return {"action": "box", "action_dim": space.shape[0], **bounds}
    raise ParamError(
        f"env.id = '{env_id}': action space {' '.join(str(space).split())} is not supported;"
        " accepted: Discrete, or a one-dimensional bounded Box of floats"
    )


def _solved_return(config: EnvConfig, env: gym.Env) -> float | None:
    threshold = config.solved_return if config.solved_return is not None else env.spec and env.spec.reward_threshold
    return None if threshold is None else float(threshold)


def _max_steps(config: EnvConfig, env: gym.Env) -> int | None:
    if config.max_steps or env.spec is None:
        return config.max_steps or None
    frames = env.spec.max_episode_steps or env.spec.kwargs.get("max_num_frames_per_episode")
    return frames and -(-frames // config.frame_skip)
