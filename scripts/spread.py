"""Table of the scores of all experiments and their spread over seeds: ``python -m scripts.spread``"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from dvc.api import exp_show

METRIC = "results/evaluate/metrics.json:return_mean"  # the stage collect has a return_mean too

Group = tuple[str, str, str]


def scores(experiments: Iterable[Mapping[str, Any]]) -> dict[Group, dict[int, float]]:
    """Score by seed, for every environment, id and mode.

    Experiments without a score are skipped; of two with the same seed the first listed counts, which is the
    workspace's, then the latest.
    """
    found: dict[Group, dict[int, float]] = defaultdict(dict)
    for row in experiments:
        score, seed = row.get(METRIC), row.get("run.seed")
        if isinstance(score, int | float) and isinstance(seed, int | float):
            group = (str(row["run.env"]), str(row["env.id"]), str(row["run.mode"]))
            found[group].setdefault(int(seed), float(score))
    return dict(found)


def table(found: Mapping[Group, Mapping[int, float]]) -> str:
    """One line per environment, id and mode."""
    lines = [f"{'environment':24}{'id':20}{'mode':10}{'mean':>9}{'std over seeds':>16}{'min':>9}{'max':>9}  seeds"]
    for (env, name, mode), by_seed in sorted(found.items()):
        values = list(by_seed.values())
        std = f"{statistics.stdev(values):.1f}" if len(values) > 1 else "-"
        seeds = ", ".join(str(seed) for seed in sorted(by_seed))
        mean, low, high = statistics.mean(values), min(values), max(values)
        labels = f"{env:24}{name.split('/')[-1]:20}{mode:10}"
        lines.append(f"{labels}{mean:9.1f}{std:>16}{low:9.1f}{high:9.1f}  {seeds}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(scores(exp_show())))
