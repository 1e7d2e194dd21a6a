"""Tests of playing an episode for a video: shots match the steps."""

import gymnasium as gym
import numpy as np
import pytest

from tests import environments
from worldmodels.report.play import DrawingError, play, playing_speed


class Always:
    """Always returns the same action; records its inputs."""

    name = "always"

    def begin(self, seeds):
        self.seeds, self.seen = list(seeds), []

    def act(self, obs, slots):
        assert slots.tolist() == [0]
        self.seen.append(obs[0, 0])
        return np.array([2])


def test_a_shot_for_every_observation() -> None:
    env = environments.CountingState(length=6, render_mode="rgb_array")
    policy = Always()
    shots = list(play(env, policy, seed=5))
    assert policy.seeds == [5]
    assert [shot.step for shot in shots] == list(range(7))
    assert [shot.obs[0] for shot in shots] == list(range(7))
    assert [shot.frame[0, 0, 0] for shot in shots] == list(range(7))
    assert [shot.episode_return for shot in shots] == [0, 0, 1, 3, 6, 10, 15]
    assert policy.seen == list(range(6))


@pytest.mark.parametrize(("cap", "count"), [(3, 4), (0, 7), (None, 7), (50, 7)])
def test_the_cap_counts_steps(cap: int | None, count: int) -> None:
    env = environments.CountingState(length=6, render_mode="rgb_array")
    assert len(list(play(env, Always(), seed=0, max_steps=cap))) == count


def test_repeated_actions_play_slower() -> None:
    env = gym.Env()
    env.metadata = {"render_fps": 60}
    assert playing_speed(env, 4) == 15
    env.metadata = {}
    assert playing_speed(env) == 30


class Drawing(environments.CountingState):
    """Draws what it is given, one drawing a step."""

    def __init__(self, *drawings) -> None:
        super().__init__(length=len(drawings) - 1, render_mode="rgb_array")
        self.drawings = drawings

    def render(self):
        return self.drawings[self.count]


def test_odd_drawings_are_converted_to_the_size_of_the_first() -> None:
    grey = np.full((20, 30), 200, np.uint8)
    shots = play(Drawing(grey, [grey], np.full((40, 60, 4), 200, np.uint8), grey / 255), Always(), seed=0)
    for shot in shots:
        assert shot.frame.shape == (20, 30, 3) and (shot.frame == 200).all() and shot.frame.dtype == np.uint8


@pytest.mark.parametrize("drawing", [None, [], "text", np.zeros(3)])
def test_what_is_no_drawing_is_an_error_of_its_own(drawing) -> None:
    with pytest.raises(DrawingError, match=r"render\(\): ValueError: .* is no picture"):
        next(play(Drawing(drawing), Always(), seed=0))
