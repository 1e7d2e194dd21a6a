"""Tests of frame annotation: the frame itself is not changed, and the text is present."""

import numpy as np
import pytest

from worldmodels.report.frames import annotate, caption, headline, hold_last, side_by_side, upscale
from worldmodels.report.states import draw_state

RNG = np.random.default_rng(0)
FRAME = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
LANDER = np.array([0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)
PURPLE = (128, 102, 230)  # the lander's body
LIT = (255, 196, 61)


def lander(**changes: float) -> np.ndarray:
    state = LANDER.copy()
    for name, value in changes.items():
        state[("x", "y", "vx", "vy", "angle", "spin", "left", "right").index(name)] = value
    return draw_state(state, state, "LunarLander-v3")


def centre_of(frame: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Row and column of the centre of a colour's pixels."""
    return np.argwhere((frame == colour).all(-1)).mean(0)


def test_upscaling_repeats_whole_pixels() -> None:
    large = upscale(FRAME, 200)
    assert large.shape == (256, 256, 3)
    assert np.array_equal(large[::4, ::4], FRAME) and np.array_equal(large[3::4, 3::4], FRAME)


def test_captions_stand_outside_the_frame() -> None:
    before = FRAME.copy()
    for drawn, picture in ((caption(FRAME, "a", "b"), np.s_[:64]), (headline(FRAME, "a"), np.s_[-64:])):
        assert drawn.shape[0] > 64 and drawn.shape[1:] == FRAME.shape[1:]
        assert np.array_equal(drawn[picture], FRAME)
    assert np.array_equal(FRAME, before)


def test_a_caption_shows_its_numbers_and_keeps_its_size() -> None:
    wide = np.zeros((10, 400, 3), np.uint8)
    shown = {annotate(wide, step, total).tobytes() for step, total in ((1, 2.0), (2, 2.0), (1, -2.0))}
    assert len(shown) == 3
    assert annotate(wide, 1, -0.01).tobytes() == annotate(wide, 1, 0.01).tobytes()  # no -0.0
    assert annotate(wide, 10**6, -1e9).shape == annotate(wide, 0, 0.0).shape  # frames of a video have one size


def test_two_frames_stand_side_by_side_at_one_height() -> None:
    pair = side_by_side(upscale(FRAME, 128), FRAME, ("reality", "dream"))
    assert np.array_equal(pair[-128:, :128], upscale(FRAME, 128))
    assert np.array_equal(pair[-128:, -128:], upscale(FRAME, 128))


def test_the_side_that_ends_first_is_held_and_dimmed() -> None:
    left = [np.full((4, 4, 3), i, np.uint8) for i in (50, 250)]
    right = [np.full((4, 4, 3), i, np.uint8) for i in (1, 2, 3, 4)]
    pairs = list(hold_last(iter(left), iter(right)))
    assert [int(b[0, 0, 0]) for _, b in pairs] == [1, 2, 3, 4]
    assert [int(a[0, 0, 0]) for a, _ in pairs[:2]] == [50, 250]
    assert np.array_equal(pairs[2][0], pairs[3][0]) and pairs[2][0].max() < 250
    with pytest.raises(ValueError, match="at least one frame"):
        list(hold_last([], right))


def test_the_lander_is_where_the_state_says() -> None:
    middle, right, low = lander(), lander(x=0.5), lander(y=0.0)
    assert centre_of(middle, PURPLE)[1] == pytest.approx(300, abs=1)
    assert centre_of(right, PURPLE)[1] - centre_of(middle, PURPLE)[1] == pytest.approx(150, abs=1)
    assert centre_of(low, PURPLE)[0] - centre_of(middle, PURPLE)[0] == pytest.approx(100, abs=1)


def test_the_lander_leans_the_way_of_its_angle() -> None:
    def lean(frame: np.ndarray) -> float:
        rows, columns = np.argwhere((frame == PURPLE).all(-1)).T
        return float(np.polyfit(columns, rows, 1)[0])

    assert lean(lander(angle=0.5)) < -0.1 < 0.1 < lean(lander(angle=-0.5))  # rows grow downwards: the right side rises
    assert abs(lean(lander())) < 0.05


def test_a_leg_is_lit_when_it_touches_the_ground() -> None:
    none, left, right = lander(), lander(left=1.0), lander(right=1.0)
    assert not (none == LIT).all(-1).any()
    assert centre_of(left, LIT)[1] < 300 < centre_of(right, LIT)[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -7.0])
def test_a_dream_that_went_anywhere_can_be_drawn(value: float) -> None:
    for env_id in ("LunarLander-v3", "Other-v0"):
        state = np.full(8, value, np.float32)
        assert draw_state(state, state, env_id).shape == (400, 600, 3)


def test_bars_grow_with_the_value_and_turn_red_outside_the_range() -> None:
    frame = draw_state(np.array([100.0, -100.0, 0.0]), np.array([1.5, -1.5, 6.0]), "Other-v0")
    painted = (frame.max(-1).astype(int) - frame.min(-1)) > 60  # coloured, not grey
    up, down, cut = (painted[:, 36 + 176 * i : 36 + 176 * (i + 1)] for i in range(3))
    assert up[:200].sum() == pytest.approx(down[201:].sum(), rel=0.05)  # both fill half of their side
    assert not up[202:].any() and not down[:199].any()
    assert cut.sum() == pytest.approx(2 * up.sum(), rel=0.05)
    assert frame[100, 36 + 176 * 2 + 88, 0] > frame[100, 36 + 176 * 2 + 88, 2]
