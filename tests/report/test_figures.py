"""Tests of figures: not blank, bytes determined by the arrays, no pyplot."""

from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf

from worldmodels.report import figures

RNG = np.random.default_rng(0)
AGENT, RANDOM = RNG.normal(200, 30, 40), RNG.normal(-150, 60, 40)
FRAMES = RNG.integers(0, 256, (10, 64, 64, 3)).astype(np.uint8)
HORIZONS = np.array([1, 2, 5, 10, 20, 50])

Draw = Callable[[Path], None]
DRAWINGS: dict[str, tuple[Draw, Draw]] = {
    "histogram": (
        lambda path: figures.return_histogram(path, AGENT, RANDOM, (190.0, 210.0), solved=200.0),
        lambda path: figures.return_histogram(path, AGENT, RANDOM, (180.0, 210.0), solved=200.0),
    ),
    "dream_against_real": (
        lambda path: figures.dream_against_real(path, AGENT, RANDOM, 0.5, ["random"] * 30 + ["best"] * 10),
        lambda path: figures.dream_against_real(path, AGENT, RANDOM, 0.5, ["random"] * 40),
    ),
    "reconstructions": (
        lambda path: figures.reconstructions(path, FRAMES, FRAMES[::-1]),
        lambda path: figures.reconstructions(path, FRAMES, FRAMES),
    ),
    "open_loop_error": (
        lambda path: figures.open_loop_error(path, HORIZONS, HORIZONS * 0.1, HORIZONS * 0.2),
        lambda path: figures.open_loop_error(path, HORIZONS, HORIZONS * 0.15, HORIZONS * 0.2),
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_shows_its_arrays_and_nothing_else(tmp_path: Path, name: str) -> None:
    draw, draw_other = DRAWINGS[name]
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    draw_other(tmp_path / "other.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    first, other = (cv2.imread(str(tmp_path / file)) for file in ("a.png", "other.png"))
    assert first is not None and first.shape[1] >= 1200 and first.std() > 10  # sharp, and not blank
    assert other is not None and not np.array_equal(first, other)


def test_no_version_and_no_time_in_the_file(tmp_path: Path) -> None:
    DRAWINGS["open_loop_error"][0](tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert b"tEXt" not in data and b"tIME" not in data


def test_reconstructions_pair_each_frame_with_its_own(tmp_path: Path) -> None:
    mosaic = figures._mosaic(FRAMES, 255 - FRAMES)
    assert np.array_equal(mosaic[:64, :64], FRAMES[0]) and np.array_equal(mosaic[64:128, :64], 255 - FRAMES[0])
    second_row = 128 + figures._PAIR_GAP
    assert np.array_equal(mosaic[second_row : second_row + 64, :64], FRAMES[8])
    third = 2 * (64 + figures._GAP)
    assert np.array_equal(mosaic[second_row:, third:], np.full_like(mosaic[second_row:, third:], 255))  # ten of sixteen
    with pytest.raises(ValueError, match="reconstructions"):
        figures.reconstructions(tmp_path / "a.png", FRAMES, FRAMES[:3])


def test_one_value_and_ties_are_drawn_too(tmp_path: Path) -> None:
    figures.return_histogram(tmp_path / "a.png", [1.0, 1.0], [1.0, 1.0], (1.0, 1.0))
    nearly = [-200.0, float(np.nextafter(-200.0, 0))]
    figures.return_histogram(tmp_path / "a.png", nearly, nearly, (-200.0, -200.0))
    figures.dream_against_real(tmp_path / "b.png", [1.0], [1.0], 0.0)
    figures.reconstructions(tmp_path / "c.png", FRAMES[:1], FRAMES[:1])
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in "abc")


def test_drawing_leaves_no_global_trace(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for draw, _ in DRAWINGS.values():
        draw(tmp_path / "a.png")
    assert Gcf.figs == {}  # figures that pyplot would have to close
    assert dict(matplotlib.rcParams) == before
