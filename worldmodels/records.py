"""Data types that the pipeline's parts exchange, and the alignment of their time indices.

    obs[t] --action[t]--> reward[t], terminated[t], truncated[t], obs[t+1]

An episode of T steps has T+1 observations. Only its last step may be truncated, and of a recorded one only the last
terminated; in an encoded one a step terminates with which a dream is to end (``vision.config.EncodeConfig``). Shape
symbols are those of ARCHITECTURE.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME_SHAPE = (64, 64, 3)  # H, W, C of the frames that V sees


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode of an environment.

    Attributes:
        obs: (T+1, 64, 64, 3) uint8 frames, or (T+1, S) float32 states.
        action: (T,) int64, or (T, A) float32 in the environment's own units.
        reward: (T,) float32, unscaled.
        terminated: (T,) bool: the task ended here.
        truncated: (T,) bool: the recording ended here, the task did not.
        seed: the seed the environment was reset with.
        policy: name of the policy that acted.
        truth: (T+1, G) float32, what is known beside each observation (``EnvConfig.truth``); None if nothing is.
    """

    obs: NDArray
    action: NDArray
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    seed: int
    policy: str
    truth: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_alignment(len(self.obs), self.action, self.reward, self.terminated, self.truncated, self.truth)
        _check_last("terminated", self.terminated)

    def __len__(self) -> int:
        """Number of steps, T."""
        return len(self.reward)

    @property
    def episode_return(self) -> float:
        """Sum of the unscaled rewards."""
        return float(self.reward.sum(dtype=np.float64))


@dataclass(frozen=True, slots=True)
class LatentEpisode:
    """One encoded episode. z is sampled from (mu, logvar) each time it is used.

    Attributes:
        mu, logvar: (T+1, Z) float32.
        action: (T, A) float32, encoded: one-hot, or scaled to [-1, 1] (``EnvSpec.encode_action``).
        reward: (T,) float32, unscaled.
        terminated: (T,) bool: the task, or a part of it that a dream is to end with, ended here.
        truncated: (T,) bool: as in ``Episode``. truth: likewise.
    """

    mu: NDArray[np.float32]
    logvar: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    truth: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_alignment(len(self.mu), self.action, self.reward, self.terminated, self.truncated, self.truth)
        if self.mu.shape != self.logvar.shape:
            raise ValueError(f"mu {self.mu.shape} and logvar {self.logvar.shape} differ in shape")

    def __len__(self) -> int:
        """Number of steps, T."""
        return len(self.reward)


@dataclass(frozen=True, slots=True)
class EvalResult:
    """Scores of one policy in the real environment, one entry per seed.

    Attributes:
        seeds, lengths: (N,) int64. returns: (N,) float64, unscaled. terminated, truncated: (N,) bool.
    """

    seeds: NDArray[np.int64]
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


def check_alignment(
    observations: int,
    action: NDArray,
    reward: NDArray,
    terminated: NDArray,
    truncated: NDArray,
    truth: NDArray | None = None,
) -> None:
    """Check the alignment of an episode's arrays.

    Raises:
        ValueError: names the arrays that do not match.
    """
    steps = len(reward)
    if steps == 0:
        raise ValueError("an episode has at least one step")
    if observations != steps + 1:
        raise ValueError(f"{steps} steps need {steps + 1} observations, got {observations}")
    if truth is not None and len(truth) != observations:
        raise ValueError(f"{observations} observations but {len(truth)} entries of truth")
    for name, array in (("action", action), ("terminated", terminated), ("truncated", truncated)):
        if len(array) != steps:
            raise ValueError(f"{steps} rewards but {len(array)} entries of {name}")
    _check_last("truncated", truncated)


def _check_last(name: str, ends: NDArray[np.bool_]) -> None:
    if ends[:-1].any():
        raise ValueError(f"{name} before its last step: an episode ends there only")
