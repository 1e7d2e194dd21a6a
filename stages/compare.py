"""Experiments side by side: ``python -m stages.compare [EXPERIMENT…]`` (not a pipeline stage).

Experiments, or any revisions of git, that differ in their seed alone are one row. A table is printed, and a page with
the scores, what led to them, and the parameters that differ lies in results/compare/index.html.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy import stats

from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError
from worldmodels.common.seeding import numpy_rng
from worldmodels.report.figures import curves, intervals
from worldmodels.report.page import Section, Shown, Table, write_page

PAGE = Path("results") / "compare" / "index.html"
METRICS = "results/evaluate/metrics.json"
RESAMPLES = 10_000
LEAST_FOR_IQM = 4  # runs: of fewer, the middle half is not a whole run from each end


@dataclass(frozen=True)
class Experiment:
    """One run.

    Attributes:
        params: of params.yaml, by section.
        score: evaluate's metrics.
        by_round: C's validation return in each round.
    """

    name: str
    params: Mapping[str, Mapping[str, Any]]
    score: Mapping[str, Any]
    by_round: Sequence[float]

    @property
    def seed(self) -> int:
        """``run.seed``."""
        return self.params["run"]["seed"]

    @property
    def settings(self) -> dict[str, Any]:
        """Every parameter that can change the result, but the seed."""
        flat = {f"{part}.{name}": value for part, inside in self.params.items() for name, value in inside.items()}
        return {name: value for name, value in flat.items() if name != "run.seed" and not name.startswith("runtime.")}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone; of two with one seed the first counts.

    Attributes:
        label: what tells it from the other groups.
    """

    label: str
    runs: Sequence[Experiment]

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,) mean returns."""
        return np.array([run.score["return_mean"] for run in self.runs], np.float64)

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean over seeds (Student's); of one seed, its own over episodes."""
        if len(self.runs) == 1:
            return self.runs[0].score["return_ci95_low"], self.runs[0].score["return_ci95_high"]
        half = stats.t.ppf(0.975, len(self.runs) - 1) * self.scores.std(ddof=1) / np.sqrt(len(self.runs))
        return float(self.scores.mean() - half), float(self.scores.mean() + half)

    def middle(self) -> tuple[float, float, float] | None:
        """The interquartile mean of the runs and its 95 % interval by bootstrap (Agarwal et al. 2021); None of few."""
        if len(self.runs) < LEAST_FOR_IQM:
            return None
        draws = numpy_rng(0, "compare").integers(len(self.runs), size=(RESAMPLES, len(self.runs)))
        found = stats.trim_mean(self.scores[draws], 0.25, axis=1)
        low, high = np.quantile(found, (0.025, 0.975))
        return float(stats.trim_mean(self.scores, 0.25)), float(low), float(high)


def read_experiments(names: Sequence[str]) -> list[Experiment]:
    """The experiments of these names, or all that have a score.

    Raises:
        UserError: there is none of that name, or it has no score.
    """
    from dvc.api import DVCFileSystem, exp_show
    from dvc.scm import RevError

    known = names or [row["Experiment"] or row["rev"] for row in exp_show()]
    found = []
    for name in dict.fromkeys(known):
        try:
            files = DVCFileSystem(".", rev=None if name == "workspace" else name)
            found.append(_read(name, files))
        except (RevError, FileNotFoundError) as error:
            if names:
                reason = "it has no score" if isinstance(error, FileNotFoundError) else "there is none"
                raise UserError(f"{name}: {reason}; `dvc exp list -A` has the names of all experiments") from None
    return found


def _read(name: str, files: Any) -> Experiment:
    params = YAML(typ="safe", pure=True).load(files.read_text("params.yaml"))
    paths = [f"results/controller/{round}/metrics.json" for round in params["rounds"]]
    by_round = [json.loads(files.read_text(path))["validation_return"] for path in paths]
    return Experiment(name, params, json.loads(files.read_text(METRICS)), by_round)


def grouped(experiments: Iterable[Experiment]) -> list[Group]:
    """Groups, labelled by what differs between them, the best first."""
    found: dict[str, list[Experiment]] = {}
    for one in experiments:
        runs = found.setdefault(json.dumps(one.settings, sort_keys=True), [])
        if one.seed not in [run.seed for run in runs]:
            runs.append(one)
    names = differing([runs[0] for runs in found.values()])
    groups = [Group(_label(runs[0], names), runs) for runs in found.values()]
    return sorted(groups, key=lambda group: -group.scores.mean())


def differing(experiments: Sequence[Experiment]) -> list[str]:
    """The parameters in which some of them differ."""
    every = {name: None for one in experiments for name in one.settings}
    return [name for name in every if len({json.dumps(one.settings.get(name)) for one in experiments}) > 1]


def _label(one: Experiment, names: Sequence[str]) -> str:
    """Environment and mode, and what else differs where that is little."""
    run, implied = one.params["run"], {"run.env", "run.mode", "run.final_round"}
    others = [f"{name}={one.settings.get(name)}" for name in names if name not in implied and name != "rounds.r1"]
    few = [text for text in others if not text.startswith("rounds.")]
    return " ".join([run["env"], run["mode"], *(few if len(few) <= 3 else [])])


def table(groups: Sequence[Group]) -> Table:
    """A row for each group."""
    head = [
        "experiments",
        "mean return",
        "95 % interval",
        "lowest",
        "highest",
        "middle half",
        "random",
        "real steps",
        "seeds",
    ]
    return Table("Scores", head, [_row(group) for group in groups])


def _row(group: Group) -> list[str]:
    low, high = group.interval()
    middle = group.middle()
    steps = np.mean([run.score["env_steps"] for run in group.runs])
    random = np.mean([run.score["random_return_mean"] for run in group.runs])
    return [
        group.label,
        f"{group.scores.mean():.1f}",
        f"{low:.1f} to {high:.1f}",
        f"{group.scores.min():.1f}",
        f"{group.scores.max():.1f}",
        "–" if middle is None else f"{middle[0]:.1f} ({middle[1]:.1f} to {middle[2]:.1f})",
        f"{random:.1f}",
        f"{steps:,.0f}",
        ", ".join(str(run.seed) for run in group.runs),
    ]


def text_of(table: Table) -> str:
    """The table for a terminal."""
    rows = [list(map(str, row)) for row in [table.head, *table.rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write(groups: Sequence[Group], path: Path) -> None:
    """The page."""
    with tempfile.TemporaryDirectory() as drawn:
        scores, rounds = Path(drawn) / "scores.svg", Path(drawn) / "rounds.svg"
        intervals(
            scores,
            [group.label for group in groups],
            [group.scores for group in groups],
            [group.interval() for group in groups],
            title="Scores",
            xlabel="mean return",
        )
        lines = {run.name: (range(1, len(run.by_round) + 1), run.by_round) for group in groups for run in group.runs}
        labels = {"title": "C chosen, by round", "xlabel": "round", "ylabel": "its last validation return"}
        curves(rounds, dict(list(lines.items())[:6]), whole=True, **labels)
        text = (
            "Over several seeds an interval is that of their mean (Student's t); of one seed, over its episodes. The"
            " middle half is the interquartile mean with a bootstrap over seeds, of four seeds at least."
        )
        shown = [
            Shown(scores, "Mean return of each: points are seeds, the bar is the 95 % interval of their mean"),
            Shown(rounds, "What C was worth when its round chose it, of the first six experiments"),
        ]
        sections = [Section("scores", "Scores", text, shown, [table(groups)])]
        names = differing([group.runs[0] for group in groups])
        if names:
            values = [[name, *(json.dumps(group.runs[0].settings.get(name)) for group in groups)] for name in names]
            head = ["parameter", *(group.label for group in groups)]
            sections.append(Section("differences", "What differs", tables=[Table("Parameters", head, values)]))
        runs = [
            [run.name, group.label, str(run.seed), f"{run.score['return_mean']:.1f}"]
            for group in groups
            for run in group.runs
        ]
        sections.append(Section("runs", "Runs", tables=[Table("Each run", ["name", "of", "seed", "return"], runs)]))
        count = sum(len(group.runs) for group in groups)
        write_page(path, "Experiments side by side", f"{len(groups)}", f"settings, {count} runs", sections)


def main() -> None:
    """Compare experiments."""
    parser = argparse.ArgumentParser(prog="stages.compare", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="names or revisions; none: all of them")
    given = parser.parse_args()
    with one_line_errors():
        groups = grouped(read_experiments(given.experiments))
        if not groups:
            raise UserError("no experiment has a score yet; `dvc exp run` makes one")
        write(groups, PAGE)
        print(text_of(table(groups)), "", f"{PAGE}: a browser opens it", sep="\n")


if __name__ == "__main__":
    main()
