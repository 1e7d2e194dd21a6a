"""Annotation and layout of frames. Frames are (H, W, 3) uint8 RGB; none is changed in place."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

_STRIP = 36  # pixels, height of a line of text
_GAP = 8  # pixels between two panels
_BACKGROUND = (24, 24, 27)
_TEXT = (235, 235, 235)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.65


def upscale(frame: Frame, height: int = 384) -> Frame:
    """``frame`` enlarged by the smallest integer factor that makes it at least ``height`` tall; pixels stay square."""
    factor = -(-height // frame.shape[0])
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def caption(frame: Frame, left: str = "", right: str = "") -> Frame:
    """``frame`` with a line of text below it."""
    return np.vstack([frame, _strip(frame.shape[1], left, right)])


def headline(frame: Frame, left: str = "", right: str = "") -> Frame:
    """``frame`` with a line of text above it."""
    return np.vstack([_strip(frame.shape[1], left, right), frame])


def annotate(frame: Frame, step: int, episode_return: float, over: bool = False) -> Frame:
    """``frame`` with the step it shows, whether that was the last, and the return so far (unscaled) below it."""
    return caption(frame, f"over, step {step}" if over else f"step {step}", f"return {episode_return:z.1f}")


def side_by_side(left: Frame, right: Frame, labels: tuple[str, str] = ("reality", "dream")) -> Frame:
    """Two frames next to each other with labels above; the lower one is scaled to the height of the other."""
    height = max(left.shape[0], right.shape[0])
    panels = [headline(_to_height(frame, height), label) for frame, label in zip((left, right), labels, strict=True)]
    gap = np.full((panels[0].shape[0], _GAP, 3), _BACKGROUND, np.uint8)
    return np.hstack([panels[0], gap, panels[1]])


def hold_last(left: Iterable[Frame], right: Iterable[Frame]) -> Iterator[tuple[Frame, Frame]]:
    """Pairs of frames until both sides have ended; the side that ends first repeats its last frame, dimmed.

    Raises:
        ValueError: a side has no frame at all.
    """
    last: list[Frame | None] = [None, None]
    for pair in zip_longest(left, right):
        shown = [_dimmed(held) if new is None else new for new, held in zip(pair, last, strict=True)]
        last = [held if new is None else new for new, held in zip(pair, last, strict=True)]
        yield shown[0], shown[1]


def _dimmed(frame: Frame | None) -> Frame:
    if frame is None:
        raise ValueError("both sides need at least one frame")
    return (frame // 2 + 32).astype(np.uint8)


def _to_height(frame: Frame, height: int) -> Frame:
    if frame.shape[0] == height:
        return frame
    width = round(frame.shape[1] * height / frame.shape[0])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _strip(width: int, left: str, right: str) -> Frame:
    strip = np.full((_STRIP, width, 3), _BACKGROUND, np.uint8)
    room = (width // 2 if left and right else width - _GAP) - _GAP
    for text, at_right in ((left, False), (right, True)):
        scale, text_width = _fitting(text, room)
        x = width - _GAP - text_width if at_right else _GAP
        cv2.putText(strip, text, (x, _STRIP - 12), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    return strip


def _fitting(text: str, room: int) -> tuple[float, int]:
    """The font scale at which ``text`` fits into ``room`` pixels, and the resulting width in pixels."""
    wanted = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0]
    scale = _FONT_SCALE * min(1.0, max(room, 1) / max(wanted, 1))
    return scale, cv2.getTextSize(text, _FONT, scale, 1)[0][0]
