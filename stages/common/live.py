"""Reports of a running stage: dvclive files for DVC, event files for TensorBoard."""

import csv
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import ArrayLike

from stages.common.job import Job
from worldmodels.common.checkpoint import write_bytes

if TYPE_CHECKING:
    from dvclive.live import Live as DVCLive
    from torch.utils.tensorboard import SummaryWriter


class Live:
    """One stage's metrics: curves in results/<stage>/<round>/plots, the last values in metrics.json one folder above.

    Beside it, cost.json says what the stage took.

    Every run of the stage rewrites both. A resumed stage logs its history again, so that the files equal those of an
    uninterrupted run. A stage without curves imports neither dvclive nor TensorBoard, which take a second.

    Args:
        results: the stage's folder.
        events: folder of TensorBoard's files.
    """

    def __init__(self, results: Path, events: Path) -> None:
        self._results, self._events = results, events
        self._summary: dict[str, object] = {}
        self._made = ""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log one point of each curve."""
        self._dvclive.step = step
        for name, value in metrics.items():
            self._dvclive.log_metric(name, float(value))
            self._board.add_scalar(name, float(value), step)

    def table(self, name: str, columns: Mapping[str, Sequence[object]]) -> None:
        """Write the table of a plot that is not a curve over updates: plots/<name>.csv, one row per column entry."""
        with (self.plots / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))

    def gates(self, values: Mapping[str, float | None], before: Path, here: Path) -> None:
        """Write what the models of all rounds so far were measured by: plots/gates.csv, one row per round.

        The table travels with the models, since a stage depends on the previous round's model and not on its report.

        Args:
            values: this round's; None where one is not defined.
            before, here: folders of the previous round's model and of this one's.
        """
        path, rows = before / "gates.csv", []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        rows.append({"round": len(rows) + 1, **values})
        self.table("gates", {name: [row.get(name, "") for row in rows] for name in rows[-1]})
        shutil.copyfile(self.plots / "gates.csv", here / "gates.csv")

    def summary(self, metrics: Mapping[str, object]) -> None:
        """Add values to metrics.json that have no curve."""
        self._summary.update(metrics)

    def histogram(self, name: str, values: ArrayLike) -> None:
        """Show TensorBoard a distribution."""
        self._board.add_histogram(name, np.asarray(values), 0)

    def made(self, what: str, where: Path) -> None:
        """Say what was made, and where, in the stage's last line; of data and models a command says more."""
        told = where.parts[0] in ("data", "models")
        self._made = f"{what}; " + (f"`python -m worldmodels.info {where.as_posix()}`" if told else where.as_posix())

    def start(self) -> None:
        """Remove the files of an earlier run."""
        shutil.rmtree(self._events, ignore_errors=True)
        for folder in ("plots", "images"):
            shutil.rmtree(self._results / folder, ignore_errors=True)

    def write_summary(self) -> None:
        """Write metrics.json: the summary, and the last value of each curve."""
        if "_dvclive" in self.__dict__:
            self._dvclive.summary.update(self._summary)
            self._dvclive.make_summary()
        else:
            text = json.dumps(self._summary, indent=4, allow_nan=False) + "\n"  # dvclive's format
            write_bytes(self._results / "metrics.json", text.encode())

    def show_pictures(self) -> None:
        """Show TensorBoard the pictures, too, if it is shown anything."""
        if "_board" in self.__dict__:
            for path in sorted(path for name in ("plots", "images") for path in (self._results / name).glob("*.png")):
                self._board.add_image(path.stem, np.asarray(cv2.imread(str(path)))[..., ::-1], 0, dataformats="HWC")

    def end(self, name: str, seconds: float) -> None:
        """Write cost.json: what the stage took; and say what it made."""
        if self._made:
            print(f"{name}: in {seconds:.0f} s {self._made}")
        cost = {"seconds": round(seconds, 1), "peak_mib": round(peak_memory())}
        write_bytes(self._results / "cost.json", (json.dumps(cost) + "\n").encode())

    def close(self) -> None:
        """Close the event files."""
        if "_board" in self.__dict__:
            self._board.close()

    @cached_property
    def plots(self) -> Path:
        """The folder of curves, tables, and pictures that DVC does not show or shows with them."""
        (self._results / "plots").mkdir(parents=True, exist_ok=True)  # dvclive makes it, too
        return self._results / "plots"

    @cached_property
    def images(self) -> Path:
        """The folder of pictures that DVC shows."""
        (self._results / "images").mkdir(parents=True, exist_ok=True)
        return self._results / "images"

    @cached_property
    def _dvclive(self) -> "DVCLive":
        from dvclive.live import Live as DVCLive

        logging.getLogger("dvclive").setLevel(logging.ERROR)  # it logs that DVC Studio is not configured
        # Not a context manager, and never save_dvc_exp or dvcyaml: either would rewrite dvc.yaml while DVC runs it.
        return DVCLive(dir=str(self._results), save_dvc_exp=False, dvcyaml=None)

    @cached_property
    def _board(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._events))


def peak_memory() -> float:
    """The most memory that this process held, in MiB."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    if sys.platform == "linux":  # getrusage would give the peak of the process that started this one, if it was larger
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@contextmanager
def live(job: Job) -> Iterator[Live]:
    """The ``Live`` of a job; metrics.json is written when the block ends."""
    report = Live(job.results, job.root / "runs" / job.label / job.name)
    report.start()
    try:
        yield report
        report.write_summary()
        report.show_pictures()
        report.end(job.name, time.monotonic() - job.begun)
    finally:
        report.close()
