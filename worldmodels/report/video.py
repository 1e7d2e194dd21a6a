"""H.264 videos, written frame by frame: memory stays bounded, and the same frames give the same bytes."""

import platform
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from worldmodels.common.checkpoint import atomic_path

_CONTAINER = {"movflags": "+faststart", "fflags": "+bitexact"}  # faststart: plays while loading; bitexact: no versions
_BT709 = 1  # its code as matrix, primaries and transfer (ITU-T H.273)
_CODEC = {
    "preset": "veryfast",
    "crf": "18",  # visually lossless; files of drawn frames are small nevertheless
    "threads": "1",  # the output of x264 depends on its number of threads
}
if platform.machine().lower() in ("x86_64", "amd64"):
    _CODEC["x264-params"] = "asm=AVX2"  # with AVX-512 the same frames do not always give the same file


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Write ``frames`` as an H.264 video (mp4, yuv420p) that browsers play; the file is written atomically.

    Args:
        frames: (H, W, 3) uint8 RGB, all of one size; taken one at a time. An odd size gets one more row or column.
        fps: frames per second of playing time.

    Raises:
        ValueError: no frames, a frame of another size, or frames that are not RGB uint8.
    """
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise ValueError(f"{path}: a video needs at least one frame")
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=_CONTAINER) as container,
    ):
        stream = _stream(container, first, fps)
        for frame in _checked(chain([first], source), first.shape):
            container.mux(stream.encode(_video_frame(frame)))
        container.mux(stream.encode(None))  # flush the encoder


def _stream(container: OutputContainer, first: NDArray, fps: float) -> VideoStream:
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=_CODEC)
    height, width = first.shape[:2]
    stream.height, stream.width = height + height % 2, width + width % 2  # chroma is stored at half size
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.colorspace = codec.color_primaries = codec.color_trc = _BT709  # if unspecified, players guess differently
    codec.color_range = ColorRange.MPEG
    return stream


def _video_frame(frame: NDArray[np.uint8]) -> av.VideoFrame:
    height, width = frame.shape[:2]
    even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _checked(frames: Iterable[NDArray], shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"frame {number}: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if frame.shape != shape:
            raise ValueError(f"frame {number} is {frame.shape}, the first one was {shape}")
        yield frame
