from pathlib import Path

import numpy as np

from scripts.learned import draw, read


def test_a_point_without_a_cost_is_left_out_of_its_panel() -> None:
    points = [("a", "10", "1", "5"), ("a", "100", "", "6"), ("b", "", "2", "7")]
    figure = draw([dict(zip(("who", "frames", "core_hours", "return"), point, strict=True)) for point in points])
    frames, hours = ([np.asarray(line.get_xydata()).tolist() for line in panel.lines] for panel in figure.axes)
    assert frames == [[[10, 5], [100, 6]]]
    assert hours == [[[1, 5]], [[2, 7]]]


def test_the_published_table_can_be_drawn(tmp_path: Path) -> None:
    rows = read(Path(__file__).parent.parent / "docs" / "carracing.csv")
    draw(rows).savefig(tmp_path / "learned.png")
    assert len(rows) > 10 and (tmp_path / "learned.png").stat().st_size > 10_000
