"""Experiments side by side: ``python -m stages.compare [EXPERIMENT…]`` (not a pipeline stage).

Experiments of the present commit, or those and any revisions of git that are named. What differs in its seed alone is
one row, each environment has a table of its own, and a page with the scores, what led to them, and the parameters that
differ lies in results/compare/index.html. The code is not compared: of two runs with equal parameters and seed the
second is named and left out.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy import stats

from stages.export import check_fresh
from stages.init import SECTIONS
from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError
from worldmodels.common.seeding import numpy_rng
from worldmodels.report.figures import curves, intervals
from worldmodels.report.page import Section, Shown, Table, write_page

PAGE = Path("results") / "compare" / "index.html"
METRICS = "results/evaluate/metrics.json"
RESAMPLES = 10_000
CURVES = 6  # in a figure
TEXT = (
    "Over several seeds an interval is that of their mean (Student's t); of one seed, over its episodes. The middle"
    " half is the interquartile mean with a bootstrap over seeds, of four seeds at least."
)
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
        """Every parameter that can change the result, but the seed; one that was not there yet has its default."""
        flat = {
            f"{part}.{one.name}": getattr(kind(), one.name) for part, kind in SECTIONS.items() for one in fields(kind)
        }
        flat |= {f"{part}.{name}": value for part, inside in self.params.items() for name, value in inside.items()}
        return {name: value for name, value in flat.items() if name != "run.seed" and not name.startswith("runtime.")}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone.

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
    """The experiments of these names, or all of the present commit that have a score.

    The workspace is among them where its score is of its parameters.

    Raises:
        UserError: there is none of that name, or it has no score.
    """
    from dvc.api import DVCFileSystem, exp_show
    from dvc.scm import RevError

    known = list(names) or [row["Experiment"] or row["rev"] for row in exp_show()]
    if "workspace" in known and not names and not _is_fresh():
        known.remove("workspace")
    found = []
    for name in dict.fromkeys(known):
        try:
            files = DVCFileSystem(".", rev=None if name == "workspace" else name)
            found.append(_read(name, files))
        except (RevError, FileNotFoundError, ValueError) as error:
            if names:
                reasons = {FileNotFoundError: "it has no score", RevError: "there is none", ValueError: "it is damaged"}
                reason = next(text for kind, text in reasons.items() if isinstance(error, kind))
                raise UserError(f"{name}: {reason}; `dvc exp list -A` has the names of all experiments") from None
    return found


def _is_fresh() -> bool:
    try:
        check_fresh()
    except UserError:
        return False
    return True


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
        same = next((run.name for run in runs if run.seed == one.seed), None)
        if same is None:
            runs.append(one)
        else:
            print(f"{one.name} is left out: its parameters and seed are those of {same}")
    names = differing([runs[0] for runs in found.values()])
    groups = sorted((Group("", runs) for runs in found.values()), key=lambda group: -group.scores.mean())
    labels = [_label(group.runs[0], names) for group in groups]
    numbered = [f"{label} ({i + 1})" if labels.count(label) > 1 else label for i, label in enumerate(labels)]
    return [replace(group, label=label) for group, label in zip(groups, numbered, strict=True)]


def by_environment(experiments: Iterable[Experiment]) -> dict[str, list[Group]]:
    """The groups of each environment: scores of different games do not compare."""
    found: dict[str, list[Experiment]] = {}
    for one in experiments:
        found.setdefault(one.params["env"]["id"].rpartition(":")[2], []).append(one)
    return {name: grouped(runs) for name, runs in found.items()}


def differing(experiments: Sequence[Experiment]) -> list[str]:
    """The parameters in which some of them differ."""
    every = {name: None for one in experiments for name in one.settings}
    return [name for name in every if len({json.dumps(one.settings.get(name)) for one in experiments}) > 1]


def _label(one: Experiment, names: Sequence[str]) -> str:
    """The mode, and what else differs where that is little."""
    implied = ("run.mode", "run.final_round", "rounds.")
    others = [f"{name}={one.settings.get(name)}" for name in names if not name.startswith(implied)]
    return " ".join([one.params["run"]["env"], one.params["run"]["mode"], *(others if len(others) <= 3 else [])])


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


def write(games: Mapping[str, Sequence[Group]], path: Path) -> None:
    """The page, with a section for each environment."""
    with tempfile.TemporaryDirectory() as drawn:
        sections = [_section(i, name, groups, Path(drawn)) for i, (name, groups) in enumerate(games.items())]
        count = sum(len(group.runs) for groups in games.values() for group in groups)
        beside = f"runs of {sum(map(len, games.values()))} settings in {len(games)} environments"
        write_page(path, "Experiments side by side", f"{count}", beside, sections)


def _section(number: int, name: str, groups: Sequence[Group], drawn: Path) -> Section:
    scores, rounds = drawn / f"scores-{number}.svg", drawn / f"rounds-{number}.svg"
    labels = [group.label for group in groups]
    ranges = [group.interval() for group in groups]
    intervals(scores, labels, [group.scores for group in groups], ranges, title="Scores", xlabel="mean return")
    runs = [run for group in groups for run in group.runs]
    lines = {run.name: (range(1, len(run.by_round) + 1), run.by_round) for run in runs[:CURVES]}
    axes = {"title": "C chosen, by round", "xlabel": "round", "ylabel": "in the final that chose it"}
    curves(rounds, lines, whole=True, **axes)
    shown = [
        Shown(scores, "Mean return of each: points are seeds, the bar is the 95 % interval of their mean"),
        Shown(rounds, f"C in the final that chose it, which flatters the winner; {len(lines)} of {len(runs)} runs"),
    ]
    tables = [table(groups)]
    if names := differing([group.runs[0] for group in groups]):
        rows = [[name, *(json.dumps(group.runs[0].settings.get(name)) for group in groups)] for name in names]
        tables.append(Table("What differs", ["parameter", *labels], rows))
    each = [
        [run.name, group.label, run.seed, f"{run.score['return_mean']:.1f}"] for group in groups for run in group.runs
    ]
    tables.append(Table("Each run", ["name", "of", "seed", "return"], each, folded=True))
    return Section(f"environment-{number}", name, TEXT, shown, tables)


def main() -> None:
    """Compare experiments."""
    parser = argparse.ArgumentParser(prog="stages.compare", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="none: all of the present commit")
    given = parser.parse_args()
    with one_line_errors():
        games = by_environment(read_experiments(given.experiments))
        if not games:
            raise UserError("no experiment of this commit has a score yet; `dvc exp run` makes one")
        write(games, PAGE)
        for name, groups in games.items():
            print(name, text_of(table(groups)), "", sep="\n")
        print(f"{PAGE}: a browser opens it")


if __name__ == "__main__":
    main()
