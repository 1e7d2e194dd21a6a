"""Stage report: one page of the whole run, results/report/index.html, in a file that loads nothing.

Beside it lie the tables of the curves in which `dvc plots show` gives each round a colour. The stage depends on the
last round's reports, which change with any earlier round; of the earlier ones it shows what is there.
"""

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.common.job import Job, run_stage
from stages.export import lineage
from worldmodels.common.checkpoint import write_bytes
from worldmodels.common.params import read_params
from worldmodels.environment.store import EpisodeStore
from worldmodels.report import figures
from worldmodels.report.page import Section, Shown, Table, write_page
from worldmodels.round import Round

SHOWN_ROUNDS = 6  # curves in one figure of the page
CURVES = {  # of which a table is written: stage, metric
    "memory_loss": ("mdnrnn", "validation/loss"),
    "search": ("controller", "fitness_mean"),
    "validation": ("controller", "validation_mean"),
}
TRAVERSED, OFFSETS = 6, (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # dimensions of z; standard deviations
STAGES = ("collect", "vae", "encode", "mdnrnn", "controller")
RESULTS = Path("results")
Columns = dict[str, list[str]]


@dataclass(frozen=True)
class Run:
    """What the stages have reported.

    Attributes:
        rounds: their names, in order.
        score: evaluate's metrics.
        drawn: folder for what is drawn.
    """

    rounds: list[str]
    score: dict[str, Any]
    drawn: Path

    def metrics(self, stage: str, name: str) -> dict[str, Any]:
        """A stage's metrics.json of a round."""
        return json.loads((RESULTS / stage / name / "metrics.json").read_text(encoding="utf-8"))

    def cost(self, stage: str, name: str = "") -> dict[str, float]:
        """A stage's cost.json of a round; empty where it has not come with the rest."""
        path = RESULTS / stage / name / "cost.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def curve(self, stage: str, metric: str) -> dict[str, tuple[list[float], list[float]]]:
        """A metric's steps and values by round; rounds without it are left out."""
        found = {}
        for name in self.rounds:
            path = RESULTS / stage / name / "plots" / "metrics" / f"{metric}.tsv"
            if path.exists():
                columns = read_table(path)
                found[name] = numbers(columns["step"]), numbers(columns[path.stem])
        return found

    def thinned(self, curve: Mapping[str, Any]) -> dict[str, Any]:
        """A curve in as many rounds as a figure can show, the first and the last among them."""
        spread = np.linspace(0, len(self.rounds) - 1, min(SHOWN_ROUNDS, len(self.rounds))).round().astype(int)
        return {name: curve[name] for name in (self.rounds[i] for i in spread) if name in curve}

    def draw(self, name: str, figure: Callable[..., None], *given: Any, caption: str, **named: Any) -> Shown:
        """One figure, drawn for the page."""
        path = self.drawn / f"{name}.svg"
        figure(path, *given, **named)
        return Shown(path, caption)


def read_table(path: Path) -> Columns:
    """A table's columns, as text."""
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def numbers(texts: Sequence[str]) -> list[float]:
    """NaN where there is none."""
    return [float(text) if text else float("nan") for text in texts]


def films() -> Section:
    """The agent, and its dream beside reality."""
    folder = RESULTS / "evaluate" / "videos"
    captions = {
        "dream.mp4": "Reality on the left; on the right the same controller dreams on from the same start",
        "agent-0.mp4": "The agent in reality, the first held-out episode",
    }
    shown = [Shown(folder / name, caption) for name, caption in captions.items() if (folder / name).exists()]
    text = "" if shown else "None: the environment does not draw, or evaluate.videos is 0."
    return Section("films", "Films", text, shown)


def returns(run: Run) -> Section:
    """The score, and what led to it, round by round."""
    table, score = read_table(RESULTS / "evaluate" / "plots" / "returns.csv"), run.score
    interval = (score["return_ci95_low"], score["return_ci95_high"])
    shown = [
        run.draw(
            "returns",
            figures.return_histogram,
            numbers(table["return"]),
            numbers(table["random_return"]),
            interval,
            caption="Returns of the agent and of the random policy on the same held-out seeds",
        )
    ]
    count = np.arange(1, len(run.rounds) + 1)
    lines = {
        "episodes collected": (count, [run.metrics("collect", name)["return_mean"] for name in run.rounds]),
        "C chosen, in the final that chose it": (
            count,
            [run.metrics("controller", name)["validation_return"] for name in run.rounds],
        ),
        "evaluated": (count[-1:], [score["return_mean"]]),
    }
    caption = (
        "Mean returns by round. A round collects with the C of the round before, and then looks for a better one; a"
        " final flatters its winner, and with one finalist it is the search's own validation, in the dream or not"
    )
    shown += [
        run.draw(
            "rounds",
            figures.curves,
            lines,
            caption=caption,
            title="Returns by round",
            xlabel="round",
            ylabel="mean return",
            whole=True,
        )
    ]
    if fitness := run.thinned(run.curve("controller", "fitness_mean")):
        caption = "Mean fitness of each generation, in the dream or where else the search was"
        labels = {"title": "C, return in the search", "xlabel": "generation", "ylabel": "mean return"}
        shown += [run.draw("fitness", figures.curves, fitness, caption=caption, **labels)]
    names = ("return_mean", "return_ci95_low", "return_ci95_high", "return_min", "return_max", "episodes")
    names += ("random_return_mean", "dream_return_mean", "dream_rank_correlation", "length_mean", "env_steps")
    rows = [[name, figure(score[name])] for name in names if name in score]
    return Section("returns", "Score", shown=shown, tables=[Table("In numbers", ["metric", "value"], rows)])


def dream(run: Run, horizon: int) -> Section:
    """Whether the dream tells good controllers from bad, and how far M sees.

    Args:
        horizon: steps after which a dream is truncated.
    """
    check = read_table(RESULTS / "evaluate" / "plots" / "dream_check.csv")
    caption = f"Each point is a controller: what it earns in whole episodes, and in dreams of at most {horizon:,} steps"
    shown = [
        run.draw(
            "dream",
            figures.dream_against_real,
            numbers(check["dream_return"]),
            numbers(check["real_return"]),
            run.score["dream_rank_correlation"],
            check["controller"],
            caption=caption,
            title="Dream against reality",
        )
    ]
    return Section("dream", "The dream", shown=[*shown, *_ahead(run)])


def _ahead(run: Run) -> Iterator[Shown]:
    table = read_table(RESULTS / "mdnrnn" / run.rounds[-1] / "plots" / "open_loop.csv")
    horizons, *errors = (numbers(table[name]) for name in ("horizon", "error", "constant_error"))
    if not horizons:  # no held-out episode is that long
        return
    caption = "Error of z when M predicts so many steps without looking, beside a z that stays as it is"
    yield run.draw("ahead", figures.open_loop_error, horizons, *errors, caption=caption)
    known = {
        name.removeprefix("r_squared_"): (horizons, np.clip(numbers(values), -0.1, None))
        for name, values in table.items()
        if name.startswith("r_squared_")
    }
    if known:
        labels = {"title": "What M still knows", "xlabel": "steps ahead", "ylabel": "R² (below -0.1: -0.1)"}
        caption = "How well known values can be read from what M predicts, by steps without looking"
        yield run.draw("known", figures.curves, known, caption=caption, **labels)


def models(run: Run, last: Round) -> Section:
    """What V sees and M learned."""
    shown = list(_vision(run, last))
    for stage, model in (("vae", "V"), ("mdnrnn", "M")):
        if loss := run.thinned(run.curve(stage, "validation/loss")):
            labels = {"title": f"{model}, loss on held-out episodes", "xlabel": "update", "ylabel": "loss"}
            caption = f"{model}'s loss on episodes it was not trained on, by round"
            shown += [run.draw(f"{stage}-loss", figures.curves, loss, caption=caption, **labels)]
    gates = read_table(RESULTS / "mdnrnn" / run.rounds[-1] / "plots" / "gates.csv")
    names = {"nll": "M", "unit_gaussian": "a unit Gaussian", "copy_last": "z stays as it is"}
    lines = {text: (numbers(gates["round"]), numbers(gates[name])) for name, text in names.items()}
    labels = {"title": "M beside no model", "xlabel": "round", "ylabel": "nats a dimension", "whole": True}
    caption = "Negative log likelihood of held-out steps: lower is better"
    shown += [run.draw("likelihood", figures.curves, lines, caption=caption, **labels)]
    head = ["gate", *(f"r{number}" for number in gates["round"])]
    rows = [[name, *map(figure, numbers(values))] for name, values in gates.items() if name != "round"]
    sees = run.metrics("vae", run.rounds[-1]).get("r_squared", {})
    tables = [Table("M's gates, by round", head, rows)]
    if sees:
        rows = [[name, figure(value)] for name, value in sees.items()]
        tables += [Table("What can be read from V's z, R²", ["value", "R²"], rows)]
    return Section("models", "What V sees and M foresees", shown=shown, tables=tables)


def _vision(run: Run, last: Round) -> Iterator[Shown]:
    store, latents = EpisodeStore.open(last.files.episodes), last.latents  # earlier rounds may not have come along
    if store.spec.observation == "state":
        caption = "Of every number of the last round's states: its range, and one standard deviation around its mean"
        yield run.draw("states", figures.state_ranges, store.state_statistics(), caption=caption)
        return
    mu = latents.episode(len(latents) - 1).mu
    frames = next(store.episodes([len(store) - 1])).obs[np.linspace(0, len(mu) - 1, 8).astype(int)]
    again = last.vae.decode(last.vae.encode(frames)[0])
    yield run.draw("seen", figures.reconstructions, frames, again, caption="Frames, and what V makes of them")
    sample = np.concatenate([latents.episode(int(i)).mu for i in np.linspace(0, len(latents) - 1, 20)])
    spread = sample.std(axis=0)
    chosen = np.argsort(-spread)[:TRAVERSED]
    z = np.repeat(mu[len(mu) // 2][None], len(chosen) * len(OFFSETS), axis=0).reshape(len(chosen), len(OFFSETS), -1)
    for row, dimension in enumerate(chosen):
        z[row, :, dimension] = sample[:, dimension].mean() + spread[dimension] * np.array(OFFSETS)
    drawn = last.vae.decode(z.reshape(-1, z.shape[-1])).reshape(*z.shape[:2], *frames.shape[1:])
    caption = "One dimension of z moves by standard deviations, the others stay: the six that vary most"
    yield run.draw("traversals", figures.traversals, drawn, [f"z{i}" for i in chosen], OFFSETS, caption=caption)


def cost(run: Run) -> Section:
    """Where real steps, time and memory went."""
    head = ["stage", *run.rounds, "all"]
    steps, seconds, memory = [], [], []
    for stage in STAGES:
        spent = [run.cost(stage, name) for name in run.rounds]
        for rows, key, whole in ((seconds, "seconds", sum), (memory, "peak_mib", max)):
            known = [one[key] for one in spent if one]
            rows.append([stage, *(figure(one[key]) if one else "–" for one in spent), figure(whole(known))])
    collected = [run.metrics("collect", name)["env_steps"] for name in run.rounds]
    searched = [run.metrics("controller", name)["env_steps"] for name in run.rounds]
    for name, values in (("collecting", collected), ("choosing C", searched)):
        steps.append([name, *(f"{int(value):,}" for value in values), f"{int(sum(values)):,}"])
    evaluated = run.cost("evaluate")
    text = (
        f"evaluate took {evaluated['seconds']:.0f} s and {evaluated['peak_mib']:,.0f} MiB. Seconds are a stage's own,"
        " without the start of Python, and after an interruption those since then; memory is the most that its process"
        " held, without its workers'."
    )
    tables = [
        Table("Real steps", ["for", *head[1:]], steps),
        Table("Seconds", head, seconds),
        Table("Memory, MiB", head, memory),
    ]
    return Section("cost", "What it cost", text, tables=tables)


def again(params: Mapping[str, Any], last: Round) -> Section:
    """How to get it again, and what it came from."""
    run = params["run"]
    given = "" if run["env"] == "lunarlander" else f" -S env={run['env']}"
    given += "" if run["mode"] == "quick" else f" -S mode={run['mode']}"
    commands = f"uv run dvc exp run{given} -S run.seed={run['seed']} -S run.rounds={run['rounds']}"
    text = (
        "The command gives this run if the parameters below are those of its environment and mode; else -S"
        " section.name=value for each that differs. Digests are of the last round's data, which covers all before, of"
        " the models, and of each stage's code."
    )
    known = lineage(last, [last.files.episodes])
    digests = [[kind, name, value] for kind, inside in known.items() for name, value in inside.items()]
    values = [
        [f"{section}.{name}", json.dumps(value)] for section, inside in params.items() for name, value in inside.items()
    ]
    tables = [
        Table("Parameters", ["parameter", "value"], values, folded=True),
        Table("Lineage", ["of", "name", "SHA-256"], digests, folded=True),
    ]
    return Section("again", "Get it again", text, tables=tables, commands=commands)


def write_curves(run: Run, folder: Path) -> None:
    """A table of each of ``CURVES``: a row for each point, with its round."""
    for name, (stage, metric) in CURVES.items():
        lines = ["round,step,value\n"]
        for label, (steps, values) in run.curve(stage, metric).items():
            number = run.rounds.index(label) + 1
            lines += [f"{number},{step:.0f},{value!r}\n" for step, value in zip(steps, values, strict=True)]
        write_bytes(folder / f"{name}.csv", "".join(lines).encode())


def figure(value: float) -> str:
    """A number as a reader wants it."""
    if value != value:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def main(job: Job) -> None:
    """Write the page."""
    params = read_params()
    score = json.loads((RESULTS / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
    last = Round(job.run.final_round)
    path = RESULTS / "report" / "index.html"
    with tempfile.TemporaryDirectory() as drawn:
        run = Run(list(params["rounds"]), score, Path(drawn))
        horizon = params["dream"]["horizon"]
        sections = [films(), returns(run), dream(run, horizon), models(run, last), cost(run), again(params, last)]
        scored = params["evaluate"]["env_id"].rpartition(":")[2]
        elsewhere = f" of {scored}" if scored else ""
        low, high = score["return_ci95_low"], score["return_ci95_high"]
        beside = (
            f"mean return of {score['episodes']} held-out episodes{elsewhere} (95 % interval {low:.1f} to {high:.1f});"
            f" random policy {score['random_return_mean']:.1f}; its dreams, of at most {horizon:,} steps,"
            f" earn {score['dream_return_mean']:.1f};"
            f" {score['env_steps']:,} real steps"
        )
        title = f"{params['env']['id'].rpartition(':')[2]}: {job.run.mode}, seed {job.run.seed}"
        write_curves(run, path.parent / "curves")
        write_page(path, title, f"{score['return_mean']:.1f}", beside, sections)
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB); a browser opens it")


if __name__ == "__main__":
    run_stage("report", main)
