"""Tests of videos: decoded frames match the written ones, and memory does not grow with the length."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.report.video import write_video

COLOURS = ((200, 30, 30), (30, 180, 60), (40, 60, 210), (240, 240, 240), (10, 10, 10), (230, 190, 40))


def plain(colour: tuple[int, int, int], height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def decode(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def test_every_frame_comes_back_in_its_place_and_colour(tmp_path: Path) -> None:
    frames = [plain(COLOURS[i % len(COLOURS)]) for i in range(40)]
    write_video(tmp_path / "video.mp4", frames, fps=25)
    decoded = decode(tmp_path / "video.mp4")
    assert len(decoded) == len(frames)
    for got, want in zip(decoded, frames, strict=True):
        assert np.abs(got.astype(int) - want).max() <= 6  # 8-bit YUV and lossy: 3 % of the range


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, [plain(COLOURS[0])] * 10, fps=12.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 1  # BT.709, as specified in the file
        assert stream.average_rate == 12.5
        assert stream.duration is not None and stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(10 / 12.5)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")  # the index comes first, so it plays while loading


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 50, 62, 3)).astype(np.uint8)
    write_video(tmp_path / "one.mp4", frames, fps=30)
    write_video(tmp_path / "another name.mp4", frames, fps=30)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "another name.mp4").read_bytes()
    write_video(tmp_path / "other.mp4", frames[::-1], fps=30)
    assert (tmp_path / "one.mp4").read_bytes() != (tmp_path / "other.mp4").read_bytes()


def test_an_odd_size_is_made_even_without_scaling(tmp_path: Path) -> None:
    frame = plain((0, 0, 0), 35, 51)
    frame[:, :20] = 255
    write_video(tmp_path / "odd.mp4", [frame, frame], fps=10)
    decoded = decode(tmp_path / "odd.mp4")[0]
    assert decoded.shape == (36, 52, 3)
    assert np.abs(decoded[:35, :51].astype(int) - frame).max() < 40  # ringing at the edge, but the edge is kept
    assert decoded[:, 18].min() > 200 and decoded[:, 22].max() < 50


def test_frames_are_taken_one_at_a_time_and_let_go(tmp_path: Path) -> None:
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    class Tracked(np.ndarray):  # a plain array cannot be put into a set
        __hash__ = object.__hash__  # type: ignore[assignment]
        __eq__ = object.__eq__  # type: ignore[assignment]

    def source() -> Iterator[NDArray[np.uint8]]:
        nonlocal most
        for i in range(200):
            frame = plain(COLOURS[i % len(COLOURS)], 32, 32).view(Tracked)
            alive.add(frame)
            gc.collect(0)
            most = max(most, len(alive))
            yield frame

    write_video(tmp_path / "long.mp4", source(), fps=30)
    assert len(decode(tmp_path / "long.mp4")) == 200
    assert most <= 5


def test_a_failing_source_leaves_nothing_behind(tmp_path: Path) -> None:
    def source() -> Iterator[NDArray[np.uint8]]:
        yield plain(COLOURS[0])
        raise RuntimeError("the environment died")

    with pytest.raises(RuntimeError, match="died"):
        write_video(tmp_path / "video.mp4", source(), fps=30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one frame"),
        ([plain(COLOURS[0]), plain(COLOURS[0], 32)], "frame 1"),
        ([np.zeros((8, 8, 3), np.float32)], "uint8"),
        ([np.zeros((8, 8), np.uint8)], "expected"),
    ],
)
def test_frames_that_make_no_video_are_named(tmp_path: Path, frames: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "video.mp4", frames, fps=30)
    assert not (tmp_path / "video.mp4").exists()
