"""What a stage reports while it runs: dvclive files for DVC, event files for TensorBoard."""

import csv
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dvclive.live import Live as DVCLive
from tensorboard.summary import Writer

from stages.common.job import Job

logging.getLogger("dvclive").setLevel(logging.ERROR)  # it reports that DVC Studio was not asked for


class Live:
    """One stage's metrics: curves under results/<stage>/<round>/plots, the last values in metrics.json beside them.

    Both are written anew by every run of the stage; a stage that resumes logs its history again, so that the files
    are those of an uninterrupted run.
    """

    def __init__(self, dvclive: DVCLive, board: Writer) -> None:
        self._dvclive = dvclive
        self._board = board

    @property
    def images(self) -> Path:
        """The folder for pictures, part of the stage's plots."""
        return Path(self._dvclive.plots_dir) / "images"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """One point of each curve."""
        self._dvclive.step = step
        for name, value in metrics.items():
            self._dvclive.log_metric(name, float(value))
            self._board.add_scalar(name, float(value), step)

    def table(self, name: str, columns: Mapping[str, Sequence[object]]) -> None:
        """A table for a plot that is no curve over updates: plots/<name>.csv, one row per entry of the columns."""
        with (Path(self._dvclive.plots_dir) / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))

    def summary(self, metrics: Mapping[str, object]) -> None:
        """Values for metrics.json that have no curve."""
        self._dvclive.summary.update(metrics)


@contextmanager
def live(job: Job) -> Iterator[Live]:
    """The ``Live`` of a job; metrics.json is whole when the block ends."""
    folder = job.results
    events = job.root / "runs" / job.label / job.name
    shutil.rmtree(events, ignore_errors=True)
    board = Writer(str(events))
    # Not used as a context manager, and never save_dvc_exp or dvcyaml: either would rewrite dvc.yaml while DVC runs it.
    dvclive = DVCLive(dir=str(folder), save_dvc_exp=False, dvcyaml=None)
    (Path(dvclive.plots_dir) / "images").mkdir(parents=True, exist_ok=True)
    try:
        yield Live(dvclive, board)
        dvclive.make_summary()
    finally:
        board.close()
