"""CarRacing-v3 with twice the drawing speed and identical pixels.

The stock environment spends 97 % of a step drawing: it transforms some 800 polygons in Python, of which about 35 are
visible, and for every frame loads its font and creates its 1000×800 surface again. Here all polygons are transformed at
once, those off the screen are skipped, and whatever does not change is cached. Importing this module registers the
environment as ``worldmodels/CarRacing-v3``.

Three things are added, none of which changes a frame or a reward: ``info`` says where the car is on the road, to
measure models with (``env.truth``); gas and brake can be one pedal; and observations can be left undrawn until they are
asked for (``make.DrawsOnRequest``), since most frames of a repeated action are never seen.
"""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
from gymnasium.envs.box2d.car_racing import (
    GRASS_DIM,
    PLAYFIELD,
    SCALE,
    STATE_H,
    STATE_W,
    TRACK_WIDTH,
    VIDEO_H,
    VIDEO_W,
    WINDOW_H,
    WINDOW_W,
    ZOOM,
    CarRacing,
)
from gymnasium.utils import EzPickle
from numpy.typing import NDArray
from pygame import gfxdraw

RETURN_CENTRE = (60, WINDOW_H - WINDOW_H * 2.5 / 40.0)  # position of the return's text, in pixels of the screen

_UNDRAWN = np.zeros((STATE_H, STATE_W, 3), np.uint8)
_SIZES = {"state_pixels": (STATE_W, STATE_H), "rgb_array": (VIDEO_W, VIDEO_H)}
_REACH = math.hypot(WINDOW_W / 2, WINDOW_H * 3 / 4)  # pixels from the car to the farthest corner of the screen
_AHEAD = 8  # tiles; a frame shows some ten
_NEAR = 2  # halves of the road's width from its middle: the road is in view
_MARGIN = 2  # pixels that anti-aliasing may reach beyond a polygon's corners


def _square(x: float, y: float, size: float) -> list[tuple[float, float]]:
    return [(x + size, y), (x, y), (x, y + size), (x + size, y + size)]


_FIELD = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * PLAYFIELD
_GRASS = [_square(GRASS_DIM * x, GRASS_DIM * y, GRASS_DIM) for x in range(-20, 20, 2) for y in range(-20, 20, 2)]


class FastCarRacing(CarRacing):
    """``CarRacing`` with the same dynamics, rewards and pixels; only the drawing time differs.

    ``info`` has, after a reset and after each step, ``offset``, from the middle of the road to the right, in halves of
    its width; ``heading``, against the road's direction, to the left, in radians; ``turn``, the road's own from here to
    ``_AHEAD`` tiles on, to the left, in radians; ``speed``, in units per second; and ``on_course``, whether the road is
    in view and the car does not face backwards.

    Args:
        args, kwargs: of ``CarRacing``.
        pedal: the action is (2,), in [-1, 1]: steering, and a pedal: gas above 0, brake below -0.5; in between the car
            rolls, which it does for long. The stock one is (3,).
    """

    def __init__(self, *args: Any, pedal: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if pedal and not self.continuous:
            raise ValueError("pedal = true is for continuous actions")
        EzPickle.__init__(self, *args, pedal=pedal, **kwargs)
        self.draws, self._reward_shown = True, 0.0
        self._pedal = pedal
        if pedal:
            self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self._middle = np.empty((0, 3))
        self._canvas, self._screen = pygame.Surface((WINDOW_W, WINDOW_H)), pygame.Surface((WINDOW_W, WINDOW_H))
        self._font: pygame.font.Font | None = None
        self._corners = np.empty((2, 4, 0))

    def _create_track(self) -> bool:
        made = bool(super()._create_track())
        if made:
            self._middle = np.array(self.track)[:, 1:]  # (tiles, 3): direction, x, y
            # (2, 4, polygons), in drawing order: the grass, then the road with its borders
            self._corners = np.ascontiguousarray(np.array(_GRASS + [corners for corners, _ in self.road_poly]).T)
        return made

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = super().reset(**kwargs)
        return obs, info | self._place()

    def step(self, action: Any) -> Any:  # the stock annotations are narrower than what it takes and returns
        controls: Any = action
        if self._pedal and action is not None:
            steering, pedal = action
            controls = np.array([steering, max(pedal, 0), max(-2 * pedal - 1, 0)], np.float32)
        obs, reward, terminated, truncated, info = super().step(controls)
        return obs, reward, terminated, truncated, info | self._place()

    def close(self) -> None:
        """Also end the bodies, which Box2D holds and is held by: nobody else would free a track."""
        self._destroy()
        super().close()

    def _place(self) -> dict[str, float]:
        assert self.car is not None
        hull, (direction, x, y) = self.car.hull, self._middle.T  # (tiles,) each
        east, north = hull.position[0] - x, hull.position[1] - y
        here = int((east * east + north * north).argmin())
        way = direction[here]
        offset = float(east[here] * math.cos(way) + north[here] * math.sin(way)) / TRACK_WIDTH
        heading = _wrapped(hull.angle - way)
        return {
            "offset": offset,
            "heading": heading,
            "turn": _wrapped(direction[(here + _AHEAD) % len(direction)] - way),
            "speed": float(hull.linearVelocity.length),
            "on_course": abs(offset) < _NEAR and abs(heading) < math.pi / 2,
        }

    def observe(self) -> NDArray[np.uint8]:
        """The observation (96, 96, 3) that the last ``step`` or ``reset`` left undrawn."""
        reward, self.reward, self.draws = self.reward, self._reward_shown, True
        try:
            return self._render("state_pixels")
        finally:
            self.reward, self.draws = reward, False

    def _render(self, mode: str) -> Any:
        if mode == "state_pixels" and not self.draws:
            self._reward_shown = self.reward  # the stock step draws before it takes its own 0.1 off
            return _UNDRAWN
        if mode not in _SIZES or "t" not in self.__dict__:
            return super()._render(mode)
        assert self.car is not None
        zoom = self._zoom()
        angle = -self.car.hull.angle
        x, y = self.car.hull.position
        shift = pygame.math.Vector2((-x * zoom, -y * zoom)).rotate_rad(angle)
        translation = (WINDOW_W / 2 + shift[0], WINDOW_H / 4 + shift[1])

        self.surf = self._canvas
        self._render_road(zoom, translation, angle)
        self.car.draw(self.surf, zoom, translation, angle, mode == "rgb_array")
        self.surf = self._screen
        _flip(self._canvas, self._screen)
        self._render_indicators(WINDOW_W, WINDOW_H)
        self._render_return(self.surf, RETURN_CENTRE)
        return self._create_image_array(self.surf, _SIZES[mode])

    def _zoom(self) -> float:
        """Screen pixels per unit; it rises during the first second (the opening zoom)."""
        return 0.1 * SCALE * max(1 - self.t, 0) + ZOOM * SCALE * min(self.t, 1)

    def _render_road(self, zoom: float, translation: tuple[float, float], angle: float) -> None:
        assert self.surf is not None
        self._render_field(self.surf, zoom, translation, angle)
        pixels = _to_pixels(self._corners, zoom, translation, angle)  # (2, 4, polygons)
        low, high = pixels.min(axis=1), pixels.max(axis=1)  # (2, polygons)
        seen = ((high >= -_MARGIN) & (low <= [[WINDOW_W + _MARGIN], [WINDOW_H + _MARGIN]])).all(axis=0)
        grass_colour = [int(c) for c in self.grass_color]
        for i, points in zip(np.flatnonzero(seen).tolist(), pixels.T[seen].tolist(), strict=True):
            road = i - len(_GRASS)  # colours are read again: the contact listener changes a tile's in place
            colour = [int(c) for c in self.road_poly[road][1]] if road >= 0 else grass_colour
            _draw(self.surf, points, colour)

    def _render_field(
        self, surface: pygame.Surface, zoom: float, translation: tuple[float, float], angle: float
    ) -> None:
        assert self.car is not None
        colour = [int(c) for c in self.bg_color]
        if max(map(abs, self.car.hull.position)) + (_REACH + _MARGIN) / zoom < PLAYFIELD:  # it fills the screen
            surface.fill(colour)
        else:
            surface.fill((0, 0, 0))
            _draw(surface, _to_pixels(_FIELD.T, zoom, translation, angle).T.tolist(), colour)

    def _return_text(self) -> str:
        return f"{self.reward:04.0f}"

    def _render_return(self, surface: pygame.Surface, centre: tuple[float, float]) -> None:
        if self._font is None:
            pygame.font.init()
            self._font = pygame.font.Font(pygame.font.get_default_font(), 42)
        text = self._font.render(self._return_text(), True, (255, 255, 255), (0, 0, 0))
        place = text.get_rect()
        place.center = centre
        surface.blit(text, place)


def _wrapped(angle: float) -> float:
    """The same angle in [-pi, pi]."""
    return math.remainder(angle, 2 * math.pi)


def _draw(surface: pygame.Surface, points: list, colour: list[int]) -> None:
    gfxdraw.aapolygon(surface, points, colour)
    gfxdraw.filled_polygon(surface, points, colour)


def _flip(source: pygame.Surface, target: pygame.Surface) -> None:
    """``pygame.transform.flip`` upside down into an existing surface."""
    np.copyto(pygame.surfarray.pixels2d(target), pygame.surfarray.pixels2d(source)[:, ::-1])


def _to_pixels(points: NDArray, zoom: float, translation: tuple[float, float], angle: float) -> NDArray[np.int64]:
    """World coordinates (2, …), x and y, as pixels, rounded towards zero as pygame does.

    The operations and their order are those of ``Vector2.rotate_rad`` and of the stock environment, so the result is
    bit-identical.
    """
    cos, sin = pygame.math.Vector2((1, 0)).rotate_rad(angle)  # pygame's own, exact at right angles
    x, y = points
    pixels = (cos * x - sin * y) * zoom + translation[0], (sin * x + cos * y) * zoom + translation[1]
    return np.array(pixels, np.float64).astype(np.int64)


gym.register(
    "worldmodels/CarRacing-v3",
    "worldmodels.environment.carracing:FastCarRacing",
    max_episode_steps=1000,
    reward_threshold=900,
)
