from scripts.spread import METRIC, scores, table


def row(mode: str, seed: int, score: float | None) -> dict:
    names = {"run.env": "pong", "env.id": "ALE/Pong-v5", "run.mode": mode, "run.seed": seed}
    return names | {METRIC: score, "results/collect/r1/metrics.json:return_mean": -99.0}


def test_scores_are_gathered_by_environment_mode_and_seed() -> None:
    rows = [row("quick", 0, -20.0), row("quick", 1, -18.0), row("quick", 2, None), row("full", 0, 3.0)]
    found = scores([*rows, row("quick", 0, 7.0), {"Experiment": "workspace"}])
    pong = ("pong", "ALE/Pong-v5")
    assert found == {(*pong, "quick"): {0: -20.0, 1: -18.0}, (*pong, "full"): {0: 3.0}}
    quick = next(line for line in table(found).splitlines() if "quick" in line)
    assert quick.split() == ["pong", "Pong-v5", "quick", "-19.0", "1.4", "-20.0", "-18.0", "0,", "1"]
