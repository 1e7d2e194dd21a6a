"""CarRacing-v3 with approximate drawing at a small fraction of the cost, for training and dreaming.

Dynamics, rewards and ends are the stock environment's. Observations show the same objects at the same positions, drawn
another way: the ground is painted once per track, and a step's view of it is one affine warp; the car is drawn enlarged
on the few pixels it covers and reduced again. Pixels are not bit-identical, so scores are measured with stock frames
(``evaluate.env_id``), and ``render()`` is that of ``FastCarRacing``. Importing this module registers the environment as
``worldmodels/CarRacingLowCost-v3``.
"""

import cmath
import math
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pygame
from gymnasium.envs.box2d.car_dynamics import (
    HULL_POLY1,
    HULL_POLY2,
    HULL_POLY3,
    HULL_POLY4,
    SIZE,
    WHEEL_COLOR,
    WHEEL_R,
    WHEEL_W,
    WHEEL_WHITE,
    Car,
)
from gymnasium.envs.box2d.car_racing import STATE_H, STATE_W, WINDOW_H, WINDOW_W
from numpy.typing import NDArray

from worldmodels.environment.carracing import RETURN_CENTRE, FastCarRacing
from worldmodels.environment.ground import Ground

_MIDDLE = (STATE_W / 2, STATE_H * 3 / 4)  # position of the car in the frame, in pixels
_DARKER = np.full((STATE_H, STATE_W, 3), 2, np.uint8)  # pygame's smoothscale rounds every colour down by this much
_SHIFT = 4  # fractional bits of a pixel in OpenCV's coordinates

_CAR = (8, 12)  # pixels around its middle that the car may cover, width and height
_RED = (204, 0, 0)  # the colour of Car, (0.8, 0, 0)
_CAR_FINE = 8  # the car's pixels are drawn enlarged by this factor, then reduced

_PANEL = STATE_H * 7 // 8  # the first row of the dashboard
_PANEL_FINE = 4  # it is drawn enlarged by this factor, then reduced
_LABEL = (12, STATE_H - _PANEL)  # the return at its left end: width and height in the frame, and on the screen
_LABEL_SCREEN = (125, 100)


def _complex(points: Sequence[tuple[float, float]]) -> list[complex]:
    return [complex(x, y) * SIZE for x, y in points]


_HULL = [_complex(points) for points in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4)]
_WHEEL = _complex([(-WHEEL_W, WHEEL_R), (WHEEL_W, WHEEL_R), (WHEEL_W, -WHEEL_R), (-WHEEL_W, -WHEEL_R)])


class LowCostCarRacing(FastCarRacing):
    """``CarRacing`` with the same spaces, dynamics and rewards, and cheaply drawn observations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ground: Ground | None = None
        size = (STATE_W * _PANEL_FINE, STATE_H * _PANEL_FINE)
        self._panel = np.zeros((*size[::-1], 3), np.uint8)
        self._panel_surface = pygame.image.frombuffer(self._panel.data, size, "RGB")  # pygame draws into the array
        self._label, self._label_text = np.zeros((*_LABEL[::-1], 3), np.uint8), ""

    def _create_track(self) -> bool:
        made = super()._create_track()
        if made:
            corners = np.array([corners for corners, _ in self.road_poly])
            self._ground = Ground(corners, self._share_colours(), self.bg_color, self.grass_color)
        return made

    def _share_colours(self) -> NDArray[np.float64]:
        """(P, 3) colours of the road's polygons, in memory shared with the tiles: in-place changes appear here."""
        colours = np.array([colour for _, colour in self.road_poly], np.float64)
        tiles: Iterator[Any] = iter(self.road or [])
        for i, (corners, colour) in enumerate(self.road_poly):
            if isinstance(colour, np.ndarray):  # a border's is a tuple
                next(tiles).color = colours[i]
            self.road_poly[i] = corners, colours[i]
        return colours

    def _render(self, mode: str) -> Any:
        if mode != "state_pixels" or not self.draws or "t" not in self.__dict__:
            return super()._render(mode)
        assert self.car is not None and self._ground is not None
        zoom, hull = self._zoom(), self.car.hull
        scale = zoom * STATE_W / WINDOW_W, zoom * STATE_H / WINDOW_H
        frame = np.empty((STATE_H, STATE_W, 3), np.uint8)
        self._ground.view(frame[:_PANEL], tuple(hull.position), hull.angle, scale, _MIDDLE)
        self._draw_car(frame, scale)
        self._draw_panel(frame[_PANEL:])
        return cv2.subtract(frame, _DARKER, frame)

    def _draw_car(self, frame: NDArray[np.uint8], scale: tuple[float, float]) -> None:
        assert self.car is not None
        shapes = list(_shapes(self.car))
        points = np.array([(point.real, -point.imag) for outline, _ in shapes for point in outline])
        pixels = points * scale + np.array(_CAR) / 2  # (points, 2), from the patch's upper left corner
        fixed = np.rint((pixels * _CAR_FINE - 0.5) * 2**_SHIFT).astype(np.int32)

        left, top = (int(m) - size // 2 for m, size in zip(_MIDDLE, _CAR, strict=True))
        patch = frame[top : top + _CAR[1], left : left + _CAR[0]]
        fine = cv2.resize(patch, None, fx=_CAR_FINE, fy=_CAR_FINE, interpolation=cv2.INTER_NEAREST)
        end = 0
        for outline, colour in shapes:
            start, end = end, end + len(outline)
            cv2.fillConvexPoly(fine, fixed[start:end], colour, shift=_SHIFT)
        patch[:] = cv2.resize(fine, _CAR, interpolation=cv2.INTER_AREA)

    def _draw_panel(self, rows: NDArray[np.uint8]) -> None:
        self.surf = self._panel_surface
        self._render_indicators(STATE_W * _PANEL_FINE, STATE_H * _PANEL_FINE)
        cv2.resize(self._panel[_PANEL * _PANEL_FINE :], rows.shape[1::-1], rows, interpolation=cv2.INTER_AREA)
        if self._label_text != self._return_text():
            self._label_text, self._label = self._return_text(), self._draw_label()
        rows[:, : _LABEL[0]] = self._label

    def _draw_label(self) -> NDArray[np.uint8]:
        width, height = _LABEL_SCREEN
        label = np.zeros((height, width, 3), np.uint8)
        surface = pygame.image.frombuffer(label.data, _LABEL_SCREEN, "RGB")
        self._render_return(surface, (RETURN_CENTRE[0], height / 2))
        return cv2.resize(label, _LABEL, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _shapes(car: Car) -> Iterator[tuple[list[complex], tuple[int, ...]]]:
    """The car's polygons and their colours, in the order in which ``Car.draw`` draws them.

    Points are x + iy in units, relative to the hull, which is always upright in the frame.
    """
    place, back = complex(*car.hull.position), cmath.rect(1, -car.hull.angle)
    for wheel in car.wheels:
        hub, turn = (complex(*wheel.position) - place) * back, cmath.rect(1, wheel.angle - car.hull.angle)
        yield [hub + turn * point for point in _WHEEL], WHEEL_COLOR
        yield [hub + turn * point for point in _mark(wheel.phase)], WHEEL_WHITE
    for outline in _HULL:
        yield outline, _RED


def _mark(phase: float) -> list[complex]:
    """The light stripe that shows a wheel's rotation, at angle ``phase`` in radians; empty while it is underneath."""
    edges = phase, phase + 1.2
    below = [math.sin(edge) > 0 for edge in edges]
    if all(below):
        return []
    near, far = (
        WHEEL_R * (math.copysign(1, math.cos(edge)) if under else math.cos(edge))
        for edge, under in zip(edges, below, strict=True)
    )
    return _complex([(-WHEEL_W, near), (WHEEL_W, near), (WHEEL_W, far), (-WHEEL_W, far)])


gym.register(
    "worldmodels/CarRacingLowCost-v3",
    "worldmodels.environment.carracing_lowcost:LowCostCarRacing",
    max_episode_steps=1000,
    reward_threshold=900,
)
