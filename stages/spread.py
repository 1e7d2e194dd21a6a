"""No stage, a table: the scores of all experiments, their spread over seeds. ``python -m stages.spread``"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from dvc.api import exp_show

METRIC = "return_mean"


def scores(experiments: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[int, float]]:
    """Score by seed, of every environment and mode; experiments without a score are passed over, the latest counts."""
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for row in experiments:
        values = [value for name, value in row.items() if name.split(":")[-1] == METRIC]
        score = next((value for value in values if isinstance(value, int | float)), None)
        if score is not None and isinstance(row.get("run.seed"), int | float):
            found[str(row["run.env"]), str(row["run.mode"])].setdefault(int(row["run.seed"]), float(score))
    return dict(found)


def table(found: Mapping[tuple[str, str], Mapping[int, float]]) -> str:
    """One line per environment and mode."""
    lines = [f"{'environment':24}{'mode':10}{'mean':>9}{'std over seeds':>16}{'min':>9}{'max':>9}  seeds"]
    for (env, mode), by_seed in sorted(found.items()):
        values = list(by_seed.values())
        std = f"{statistics.stdev(values):.1f}" if len(values) > 1 else "-"
        seeds = ", ".join(str(seed) for seed in sorted(by_seed))
        mean, low, high = statistics.mean(values), min(values), max(values)
        lines.append(f"{env:24}{mode:10}{mean:9.1f}{std:>16}{low:9.1f}{high:9.1f}  {seeds}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(scores(exp_show())))
