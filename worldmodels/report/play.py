"""One real episode of a policy, frame by frame, for videos."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.common.errors import one_line
from worldmodels.common.params import UserError
from worldmodels.environment.observation import frame_of
from worldmodels.environment.policy import Policy
from worldmodels.report.frames import Frame


class DrawingError(UserError):
    """An environment does not draw what a film could show."""


class Shot(NamedTuple):
    """One time step of an episode.

    Attributes:
        frame: (H, W, 3) uint8, the environment's own rendering; all of the size of the first.
        obs: the policy's observation: (64, 64, 3) uint8 or (S,) float32.
        step: number of actions so far.
        episode_return: sum of the unscaled rewards so far.
    """

    frame: Frame
    obs: NDArray
    step: int
    episode_return: float


def play(env: gym.Env, policy: Policy, seed: int, max_steps: int | None = None) -> Iterator[Shot]:
    """The episode of ``seed``, T + 1 shots for T steps; the environment is left open.

    Args:
        env: made by ``make_env(config, render=True)``.
        max_steps: stop after that many steps, even if the episode has not ended; None or 0 for the whole episode.

    Raises:
        DrawingError: the environment draws nothing, or no picture.
    """
    policy.begin([seed])
    obs, _ = env.reset(seed=seed)
    slot = np.zeros(1, np.int64)
    step, total, ended = 0, 0.0, False
    first = _render(env)
    yield Shot(first, obs, step, total)
    while not ended and step != (max_steps or None):
        action = policy.act(np.asarray(obs)[None], slot)[0]
        obs, reward, terminated, truncated, _ = env.step(action)
        step, total, ended = step + 1, total + float(reward), terminated or truncated
        yield Shot(_sized(_render(env), first), obs, step, total)


def playing_speed(env: gym.Env, frame_skip: int = 1) -> float:
    """Shots per second that play the episode in real time."""
    return float(env.metadata.get("render_fps") or 30) / frame_skip


def _render(env: gym.Env) -> Frame:
    try:
        return np.array(frame_of(env.render()))  # a copy: an environment may draw into the same array again
    except Exception as error:  # an environment that draws may raise anything
        raise DrawingError(f"render(): {one_line(error)}") from error


def _sized(frame: Frame, first: Frame) -> Frame:
    if frame.shape == first.shape:
        return frame
    return np.asarray(cv2.resize(frame, first.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
