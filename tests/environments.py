"""Environments that count steps, so that a record that is off by one is detected.

The observation before step t is the number t, in every pixel or as the first entry of the state. The reward of step t
is t, and the episode is terminated after ``length`` steps (plus a number below ``jitter`` drawn from the seed).
"""

from typing import Any

import gymnasium as gym
import numpy as np


class _Counting(gym.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(self, length: int = 10, jitter: int = 0, render_mode: str | None = None) -> None:
        self.length, self.jitter, self.render_mode = length, jitter, render_mode
        self.count, self.end, self.last_action = 0, length, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.count, self.last_action = 0, 0.0
        self.end = self.length + int(self.np_random.integers(self.jitter + 1))
        return self._observe(), {}

    def step(self, action):
        reward = float(self.count)
        self.count += 1
        self.last_action = float(np.ravel(action)[0])
        return self._observe(), reward, self.count >= self.end, False, {}

    def render(self):
        return np.full((120, 90, 3), self.count % 256, np.uint8)

    def _observe(self) -> np.ndarray:
        raise NotImplementedError


class CountingPixels(_Counting):
    """Frames 96×80, of one colour: the step's number modulo 256. Two actions."""

    observation_space = gym.spaces.Box(0, 255, (96, 80, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def _observe(self) -> np.ndarray:
        return np.full((96, 80, 3), self.count % 256, np.uint8)


class DoublingPixels(CountingPixels):
    """As CountingPixels, with doubled rewards: a return shows in which environment it was obtained."""

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, 2 * reward, terminated, truncated, info


class StackedPixels(CountingPixels):
    """As CountingPixels, in grey and with the channels first: a stack of four, of which the last is the newest."""

    observation_space = gym.spaces.Box(0, 255, (4, 96, 80), np.uint8)

    def _observe(self) -> np.ndarray:
        return np.stack([np.full((96, 80), max(self.count - back, 0) % 256, np.uint8) for back in (3, 2, 1, 0)])


class CountingState(_Counting):
    """State [step's number, last action, whether the number is odd]. Three actions, numbered from 0."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def _observe(self) -> np.ndarray:
        return np.array([self.count, self.last_action, self.count % 2], np.float32)


class CountingBox(CountingState):
    """As CountingState, with two continuous actions in [-1, 1] × [0, 4], of which the first is shown."""

    action_space = gym.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))


class Lives(CountingState):
    """As CountingState; a life is lost with every third step, and ``info`` has their number, the step's and a text."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        obs, _ = super().reset(seed=seed, options=options)
        return obs, {"lives": 9}

    def step(self, action):
        obs, reward, terminated, truncated, _ = super().step(action)
        info = {"lives": 9 - self.count // 3, "count": self.count, "odd": self.count % 2, "text": "a"}
        return obs, reward, terminated, truncated, info


class Wins(CountingState):
    """As CountingState, but the reward is 1 in the third, fourth and tenth step, and -1 in the others."""

    def step(self, action):
        obs, _, terminated, truncated, info = super().step(action)
        return obs, 1.0 if self.count in (3, 4, 10) else -1.0, terminated, truncated, info


gym.register("CountingPixels-v0", f"{__name__}:CountingPixels", reward_threshold=45)
gym.register("StackedPixels-v0", f"{__name__}:StackedPixels")
gym.register("DoublingPixels-v0", f"{__name__}:DoublingPixels", reward_threshold=90)
gym.register("CountingState-v0", f"{__name__}:CountingState", reward_threshold=45)
gym.register("Wins-v0", f"{__name__}:Wins")
gym.register("Lives-v0", f"{__name__}:Lives")
gym.register("CountingBox-v0", f"{__name__}:CountingBox", max_episode_steps=1000)
