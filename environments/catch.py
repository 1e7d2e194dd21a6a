"""Example of a user-defined environment: catch the falling ball (after bsuite's Catch, Osband et al. 2020).

    uv run dvc exp run -S env.id=environments.catch:Catch-v0

The random policy catches a third; a perfect score is 1.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS, CELL = 10, 5, 8  # CELL: side of a cell in pixels
BALL, PADDLE = (255, 220, 90), (110, 180, 255)


class Catch(gym.Env):
    """Frames (80, 40, 3) uint8; actions 0, 1, 2 move the paddle left, not at all, and right.

    An episode is one ball: nine steps of reward 0, except the last, whose reward is 1 if the paddle catches the ball,
    else -1.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012 (Gymnasium's convention)
    observation_space = gym.spaces.Box(0, 255, (ROWS * CELL, COLUMNS * CELL, 3), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.ball, self.paddle = [0, 0], COLUMNS // 2  # row and column; column

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray, dict]:
        """Drop a ball into a random column."""
        super().reset(seed=seed, options=options)
        self.ball, self.paddle = [0, int(self.np_random.integers(COLUMNS))], COLUMNS // 2
        return self.render(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict]:
        """Move the paddle, then the ball."""
        self.paddle = min(max(self.paddle + int(action) - 1, 0), COLUMNS - 1)
        self.ball[0] += 1
        landed = self.ball[0] == ROWS - 1
        reward = (1.0 if self.ball[1] == self.paddle else -1.0) if landed else 0.0
        return self.render(), reward, landed, False, {}

    def render(self) -> NDArray[np.uint8]:
        """The frame."""
        cells = np.zeros((ROWS, COLUMNS, 3), np.uint8)
        cells[-1, self.paddle] = PADDLE
        cells[self.ball[0], self.ball[1]] = BALL
        return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)


gym.register("Catch-v0", "environments.catch:Catch", max_episode_steps=ROWS, reward_threshold=0.9)
