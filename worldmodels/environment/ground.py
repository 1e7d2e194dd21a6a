"""CarRacing's ground as an image: painted once per track, viewed from a car through one affine warp."""

import math
from collections import defaultdict
from collections.abc import Iterable

import cv2
import numpy as np
from gymnasium.envs.box2d.car_racing import PLAYFIELD
from numpy.typing import NDArray

Cell = tuple[int, int]  # row and column, from the playfield's corner of least coordinates

_CELLS = 80  # along a side of the playfield, two per square of grass
_TEXELS = 16  # image pixels along a cell: a texel is as large as a pixel of the frame, 0.5 units
_FINE = 2  # a cell is painted enlarged by this factor, then reduced
_SHIFT = 4  # fractional bits of a texel in OpenCV's coordinates
_LEVELS = 5  # of the image pyramid, each half the size, down to the scale of the opening zoom
_RESOLUTION = _CELLS * _TEXELS / (2 * PLAYFIELD)  # texels per unit


class Ground:
    """Grass and road of one track, as an image of the whole playfield; black outside it.

    Attributes:
        colours: (P, 3) of the road's polygons. A colour that is changed in place is repainted before the next view.
    """

    def __init__(
        self, corners: NDArray[np.float64], colours: NDArray[np.float64], field: NDArray, grass: NDArray
    ) -> None:
        """Paint the ground.

        Args:
            corners: (P, 4, 2), x and y in units of the world, in drawing order.
            field, grass: (3,) colours of the field and of every other square of every other row.
        """
        self.colours, self._painted = colours, colours.copy()
        texels = (corners + PLAYFIELD) * _RESOLUTION  # (P, 4, 2)
        self._points = np.rint((texels * _FINE - 0.5) * 2**_SHIFT).astype(np.int32)
        self._cells_of = _cells(texels)
        self._polygons_in: dict[Cell, list[int]] = defaultdict(list)
        for polygon, cells in enumerate(self._cells_of):
            for cell in cells:
                self._polygons_in[cell].append(polygon)
        self._plain = _plain(field, grass)
        self._levels = [cv2.resize(self._plain, (_CELLS * _TEXELS,) * 2, interpolation=cv2.INTER_NEAREST)]
        self._paint(self._polygons_in)
        for _ in range(_LEVELS - 1):
            self._levels.append(cv2.resize(self._levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))

    def view(
        self,
        frame: NDArray[np.uint8],
        place: tuple[float, float],
        angle: float,
        scale: tuple[float, float],
        middle: tuple[float, float],
    ) -> None:
        """Fill ``frame`` (H, W, 3) with the view from ``place``, looking along ``angle``.

        Args:
            place: position in world units; it appears at ``middle``, in pixels from the frame's upper left corner.
            angle: direction that points up in the frame, in radians from the world's y axis.
            scale: pixels per unit, across and down.
        """
        self._repaint()
        fineness = _RESOLUTION / max(scale)  # texels per pixel; averages of 2, 4, … texels are in the pyramid
        level = min(int(math.log2(max(fineness, 1))), _LEVELS - 1)
        resolution = _RESOLUTION / 2**level
        cos, sin = math.cos(angle) * resolution, math.sin(angle) * resolution
        across, down = 1 / scale[0], -1 / scale[1]
        left, top = (0.5 - middle[0]) * across, (0.5 - middle[1]) * down  # centre of the first pixel relative to place
        x, y = ((p + PLAYFIELD) * resolution - 0.5 for p in place)
        to_texel = np.array(
            [
                [cos * across, -sin * down, cos * left - sin * top + x],
                [sin * across, cos * down, sin * left + cos * top + y],
            ]
        )
        size = frame.shape[1], frame.shape[0]
        cv2.warpAffine(self._levels[level], to_texel, size, frame, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    def _repaint(self) -> None:
        if np.array_equal(self.colours, self._painted):
            return
        changed = np.flatnonzero((self.colours != self._painted).any(axis=1)).tolist()
        self._paint({cell for polygon in changed for cell in self._cells_of[polygon]})
        self._painted[:] = self.colours

    def _paint(self, cells: Iterable[Cell]) -> None:
        """Repaint cells of the finest level as a whole, so that the drawing order of overlapping polygons is kept."""
        fine = np.empty((_TEXELS * _FINE, _TEXELS * _FINE, 3), np.uint8)
        for row, column in cells:
            fine[:] = self._plain[row, column]
            inside = self._polygons_in[row, column]
            corner = np.array([column, row], np.int32) * (_TEXELS * _FINE << _SHIFT)
            colours = self.colours[inside].astype(int).tolist()
            for points, colour in zip(self._points[inside] - corner, colours, strict=True):
                cv2.fillConvexPoly(fine, points, colour, shift=_SHIFT)
            y, x = row * _TEXELS, column * _TEXELS
            cell = self._levels[0][y : y + _TEXELS, x : x + _TEXELS]
            cell[:] = cv2.resize(fine, (_TEXELS, _TEXELS), interpolation=cv2.INTER_AREA)


def _plain(field: NDArray, grass: NDArray) -> NDArray[np.uint8]:
    """The cells' colours (rows, columns, 3) without the road: squares of two by two, two apart."""
    plain = np.empty((_CELLS, _CELLS, 3), np.uint8)
    plain[:] = field.astype(np.uint8)
    plain.reshape(_CELLS // 4, 4, _CELLS // 4, 4, 3)[:, :2, :, :2] = grass.astype(np.uint8)
    return plain


def _cells(texels: NDArray[np.float64]) -> list[list[Cell]]:
    """The cells that each of the polygons (P, 4, 2) may touch, by its bounding box."""
    low = (texels.min(axis=1) // _TEXELS).clip(0, _CELLS).astype(int)
    high = (texels.max(axis=1) // _TEXELS).clip(-1, _CELLS - 1).astype(int)
    return [
        [(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)]
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True)
    ]
