from stages.spread import scores, table


def test_scores_are_gathered_by_environment_mode_and_seed() -> None:
    rows = [
        {"run.env": "pong", "run.mode": "quick", "run.seed": 0, "return_mean": -20.0},
        {"run.env": "pong", "run.mode": "quick", "run.seed": 1, "results/evaluate/metrics.json:return_mean": -18.0},
        {"run.env": "pong", "run.mode": "quick", "run.seed": 2, "return_mean": None},
        {"run.env": "pong", "run.mode": "full", "run.seed": 0, "return_mean": 3.0},
        {"Experiment": "workspace"},
    ]
    found = scores(rows)
    assert found == {("pong", "quick"): {0: -20.0, 1: -18.0}, ("pong", "full"): {0: 3.0}}
    quick = next(line for line in table(found).splitlines() if "quick" in line)
    assert quick.split() == ["pong", "quick", "-19.0", "1.4", "-20.0", "-18.0", "0,", "1"]
