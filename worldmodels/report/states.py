"""Images of state vectors, to show the dream of a state environment next to reality."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodels.report.frames import Frame

_SIZE = (400, 600)  # H, W: those of LunarLander's own rendering
_SHIFT = 4  # cv2 draws at 1/16 of a pixel: motion is smooth


def draw_state(state: NDArray, z: NDArray, env_id: str = "") -> Frame:
    """One state as a (400, 600, 3) frame: LunarLander as a drawing, any other environment as a bar chart of z.

    Args:
        state: (S,) in the environment's own units.
        z: (S,) the same state, normalised: in standard deviations from the mean.
        env_id: id of the environment, ``spec.id``.
    """
    # a dream's state is unbounded
    state, z = (np.clip(np.nan_to_num(np.asarray(x, np.float64)), -1e6, 1e6) for x in (state, z))
    if "LunarLander" in env_id and len(state) == 8:
        return draw_lander(state)
    return draw_bars(z)


# LunarLander-v3: its geometry in pixels of its own 600 x 400 rendering (gymnasium/envs/box2d/lunar_lander.py).
_GROUND_Y = 100.0  # the pad's height; the terrain around it is not part of the state, so the ground is drawn flat
_PAD_X = (240.0, 360.0)
_BODY = np.array([(-14, 17), (-17, 0), (-17, -10), (17, -10), (17, 0), (14, 17)], np.float64)
_LEG = np.array([(17, -3), (24, -18)], np.float64)  # hip and foot of the right leg
_LEG_DOWN = 18.0  # height of the body's centre above the pad when y is 0
_SKY, _GROUND, _LANDER, _OUTLINE = (18, 18, 26), (226, 226, 226), (128, 102, 230), (77, 77, 128)
_LIT, _FLAG, _PAD, _VELOCITY = (255, 196, 61), (204, 204, 0), (150, 150, 150), (120, 190, 255)


def draw_lander(state: NDArray[np.float64]) -> Frame:
    """LunarLander's 8 numbers (x, y, vx, vy, angle, angular velocity, left and right contact) as a drawing.

    A leg in contact with the ground is highlighted; the line from the body is the path of the next 15 steps at this
    velocity.
    """
    frame = np.full((*_SIZE, 3), _SKY, np.uint8)
    _draw_ground(frame)
    centre = np.array([300.0 * (state[0] + 1.0), _GROUND_Y + _LEG_DOWN + 200.0 * state[1]])
    velocity = np.array([3.0 * state[2], 4.5 * state[3]])  # pixels a step
    rotate = _rotation(state[4])
    _line(frame, np.stack([centre, centre + 15.0 * velocity]), _VELOCITY, 1)
    for side, contact in ((-1.0, state[6]), (1.0, state[7])):
        leg = centre + _LEG * (side, 1.0) @ rotate  # (2, 2)
        _line(frame, leg, _LIT if contact > 0.5 else _LANDER, 5)
    _polygon(frame, centre + _BODY @ rotate, _LANDER, _OUTLINE)
    return frame


def _draw_ground(frame: Frame) -> None:
    surface = _SIZE[0] - int(_GROUND_Y)
    frame[surface:] = _GROUND
    for x in _PAD_X:
        pole = np.array([(x, _GROUND_Y), (x, _GROUND_Y + 50.0)])
        _line(frame, pole, _GROUND, 1)
        flag = pole[1] + np.array([(0, 0), (0, -10), (25, -5)])
        _polygon(frame, flag, _FLAG, _FLAG)
    cv2.line(frame, (int(_PAD_X[0]), surface), (int(_PAD_X[1]), surface), _PAD, 3)


def _rotation(angle: float) -> NDArray[np.float64]:
    """(2, 2), for row vectors; counter-clockwise with y upwards."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _pixels(points: NDArray) -> NDArray[np.int32]:
    """(N, 2) points with y upwards as cv2's fixed-point coordinates with y downwards."""
    flipped = np.stack([points[:, 0], _SIZE[0] - points[:, 1]], axis=1)
    return np.round(np.clip(flipped, -2000, 2000) * 2**_SHIFT).astype(np.int32)


def _line(frame: Frame, points: NDArray, colour: tuple[int, int, int], thickness: int) -> None:
    start, end = _pixels(points).tolist()
    cv2.line(frame, start, end, colour, thickness, cv2.LINE_AA, _SHIFT)


def _polygon(frame: Frame, points: NDArray, fill: tuple[int, int, int], outline: tuple[int, int, int]) -> None:
    pixels = _pixels(points)
    cv2.fillPoly(frame, [pixels], fill, cv2.LINE_AA, _SHIFT)
    cv2.polylines(frame, [pixels], True, outline, 1, cv2.LINE_AA, _SHIFT)


_BAR, _BAR_OUT, _AXIS, _PAPER = (76, 132, 196), (214, 96, 77), (120, 120, 120), (250, 250, 250)
_MARGIN = 36  # pixels around the bars
_REACH = 3  # standard deviations


def draw_bars(z: NDArray[np.float64]) -> Frame:
    """(S,) numbers as bars between -``_REACH`` and ``_REACH``; one outside this range is clipped and drawn red."""
    frame = np.full((*_SIZE, 3), _PAPER, np.uint8)
    height, width = _SIZE
    half = height / 2 - _MARGIN
    pitch = (width - 2 * _MARGIN) / len(z)
    for i, value in enumerate(z / _REACH):
        left, right = (round(_MARGIN + pitch * (i + edge)) for edge in (0.15, 0.85))
        top = round(height / 2 - half * float(np.clip(value, -1.0, 1.0)))
        colour = _BAR if abs(value) <= 1.0 else _BAR_OUT
        cv2.rectangle(frame, (left, top), (max(right, left + 1), height // 2), colour, cv2.FILLED)
        if pitch >= 16:
            _text(frame, str(i), (left + right) // 2, height - 14)
    for y, name in ((_MARGIN, f"{_REACH}"), (height // 2, "0"), (height - _MARGIN, f"-{_REACH}")):
        cv2.line(frame, (_MARGIN, y), (width - _MARGIN, y), _AXIS, 1)
        _text(frame, name, _MARGIN // 2, y + 4)
    return frame


def _text(frame: Frame, text: str, centre: int, baseline: int) -> None:
    text_width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0]
    place = (centre - text_width // 2, baseline)
    cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _AXIS, 1, cv2.LINE_AA)
