"""Pack the evaluated agent into one folder (not a pipeline stage): ``python -m stages.export agents/NAME``"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.common.job import RunConfig
from worldmodels.agents import save_agent
from worldmodels.common.checkpoint import file_digest
from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError, load_section, read_params
from worldmodels.control.config import EvaluateConfig
from worldmodels.control.evaluate import scoring_env, scoring_spec
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.manifest import manifest_digest
from worldmodels.round import Round

METRICS = Path("results") / "evaluate" / "metrics.json"


def export(folder: Path) -> None:
    """Pack the agent that the stage ``evaluate`` has scored.

    Raises:
        UserError: the evaluation does not belong to the present models, parameters and code.
    """
    check_fresh()
    source = Round(load_section("run", RunConfig).final_round)
    env, config = load_section("env", EnvConfig), load_section("evaluate", EvaluateConfig)
    scored, spec = scoring_env(env, config), scoring_spec(env, config, source.spec)
    protocol = f"{config.episodes} whole episodes of {scored.id}, seeds 0 to {config.episodes - 1}, which chose nothing"
    score = {"metrics": json.loads(METRICS.read_text(encoding="utf-8")), "protocol": protocol}
    came_from = lineage(source, source.episodes.rounds)
    save_agent(folder, source, scored, spec, {"params": read_params(), "lineage": came_from, "score": score})


def check_fresh() -> None:
    """Raise a ``UserError`` unless DVC reports ``evaluate`` as up to date."""
    from dvc.repo import Repo

    if not METRICS.exists() or Repo().status(targets=["evaluate"]):
        raise UserError("evaluate is not up to date: nothing was exported; run `dvc repro` first")


def lineage(source: Round, rounds: Sequence[Path]) -> dict[str, Any]:
    """SHA-256 digests of the data of these rounds' folders, of the models, and of each stage's code.

    A round's digest covers all rounds before it.
    """
    files = source.files
    return {
        "data": {path.name: manifest_digest(path) for path in rounds},
        "models": {path.stem: file_digest(path) for path in (files.vae, files.mdnrnn, files.controller)},
        "code": {path.stem: file_digest(path) for path in sorted(Path("code").glob("*.json"))},
    }


def main() -> None:
    """Pack the evaluated agent into a folder."""
    parser = argparse.ArgumentParser(prog="stages.export", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to, for instance agents/lunarlander")
    with one_line_errors():
        export(parser.parse_args().folder)


if __name__ == "__main__":
    main()
