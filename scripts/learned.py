"""What was learned per frame of reality and per core-hour, beside the original: ``python -m scripts.learned CSV PNG``.

The table has one row a point: who, frames of the real environment, core-hours, mean return.
"""

import argparse
import csv
from pathlib import Path

from matplotlib.figure import Figure

AXES = {"frames": "frames of the real environment", "core_hours": "core-hours"}


def read(table: Path) -> list[dict[str, str]]:
    """The rows of the table."""
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(rows: list[dict[str, str]]) -> Figure:
    """One panel for each cost, in logarithms, and one line for each name; a point that lacks the cost is left out."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (cost, label) in zip(panels, AXES.items(), strict=True):
        for who in dict.fromkeys(row["who"] for row in rows):
            if points := [(float(row[cost]), float(row["return"])) for row in rows if row["who"] == who and row[cost]]:
                panel.plot(*zip(*points, strict=True), marker="o", markersize=4, label=who)
        panel.set(xscale="log", xlabel=label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("mean return")
    panels[0].legend(fontsize=8)
    return figure


def main() -> None:
    """Draw the table."""
    parser = argparse.ArgumentParser(prog="scripts.learned", description=__doc__)
    parser.add_argument("table", type=Path, metavar="CSV")
    parser.add_argument("picture", type=Path, metavar="PNG")
    arguments = parser.parse_args()
    draw(read(arguments.table)).savefig(arguments.picture, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
