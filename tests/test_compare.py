"""Tests of the comparison of experiments."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages.compare import Experiment, by_environment, differing, grouped, read_experiments, table, text_of, write
from tests.test_conf import composed
from worldmodels.common.params import UserError

PARAMS = composed("env=pong")


def experiment(name: str, seed: int, score: float, **changed: float) -> Experiment:
    params: dict[str, dict[str, Any]] = copy.deepcopy(PARAMS)
    params["run"]["seed"], params["runtime"]["workers"] = seed, seed
    params["controller"] |= changed
    metrics = {"return_mean": score, "return_ci95_low": score - 1, "return_ci95_high": score + 1}
    return Experiment(name, params, metrics | {"random_return_mean": -20.4, "env_steps": 1000}, [-20.0, score])


RUNS = [
    *(experiment(f"plain-{seed}", seed, score) for seed, score in enumerate([-16.0, -18.0, -17.0, -15.0])),
    experiment("again", 1, 99.0),  # a second run of a seed
    experiment("larger", 0, -12.0, popsize=256),
]


def test_runs_that_differ_in_their_seed_alone_are_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    larger, plain = grouped(RUNS)
    assert capsys.readouterr().out == "again is left out: its parameters and seed are those of plain-1\n"
    assert [run.name for run in plain.runs] == ["plain-0", "plain-1", "plain-2", "plain-3"]
    assert larger.label == "pong quick controller.popsize=256"
    assert larger.interval() == (-13.0, -11.0)  # over its episodes
    low, high = plain.interval()
    assert (low + high) / 2 == pytest.approx(-16.5) and high - low == pytest.approx(2 * 3.182 * 1.291 / 2, rel=1e-3)
    middle = plain.middle()
    assert middle is not None and middle[0] == pytest.approx(-16.5) and -18 <= middle[1] < -16.5 < middle[2] <= -15
    assert differing([RUNS[0], RUNS[-1]]) == ["controller.popsize"]
    lines = text_of(table([larger, plain])).splitlines()
    assert [line.split()[-1] for line in lines] == ["seeds", "0", "3"] and "-20.4" in lines[2]


def test_the_page_has_scores_and_what_differs(tmp_path: Path) -> None:
    params: dict[str, Any] = copy.deepcopy(PARAMS)
    other = replace(RUNS[0], params=params | {"env": params["env"] | {"id": "ALE/Freeway-v5"}})
    collect = {name: value for name, value in params["collect"].items() if name != "minari"}
    old = replace(RUNS[3], params=dict(RUNS[3].params) | {"collect": collect})  # of a version without it: its default
    games = by_environment([*RUNS[:3], old, RUNS[-1], other])
    assert [len(groups) for groups in games.values()] == [2, 1]
    assert len(games["ALE/Pong-v5"][1].runs) == 4
    write(games, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "controller.popsize" in text and "plain-3" in text and text.count("data:image/svg+xml") == 4


def test_an_experiment_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match="no-such-thing: there is none"):
        read_experiments(["no-such-thing"])
