"""What all stages share: their arguments, their round, their scratch, and how they fail."""

import argparse
import gc
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldmodels.common.checkpoint import Scratch, digest, file_digest
from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import Count, Natural, UserError, load_section, read_params, settings
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.files import RoundFiles


@settings
class RunConfig:
    """What this run is.

    Attributes:
        env: name of the environment group that was composed; a label.
        mode: name of the mode group that was composed; a label.
        seed: the root of every random number.
        rounds: how many rounds the section ``rounds`` lists.
        final_round: the round that is evaluated, the last.
    """

    env: str = "lunarlander"
    mode: str = "quick"
    seed: Natural = 0
    rounds: Count = 1
    final_round: str = "r1"


@dataclass(frozen=True)
class Job:
    """One stage in one round.

    Attributes:
        stage: the stage's name, also that of its section in params.yaml.
        name: stage and round, for people and for the names of random streams.
        round, previous: files of this round and of the one before; of r0 for a stage that has none.
        results: folder of the stage's metrics and plots.
    """

    stage: str
    name: str
    round: RoundFiles
    previous: RoundFiles
    results: Path
    run: RunConfig
    runtime: RuntimeConfig

    @property
    def root(self) -> Path:
        """The project's root: that of the checkout DVC runs in."""
        return Path(os.environ.get("DVC_ROOT", "."))

    @property
    def label(self) -> str:
        """Environment and mode."""
        return f"{self.run.env}_{self.run.mode}"

    def scratch(self, sections: Sequence[str], inputs: Sequence[Path]) -> Scratch:
        """Scratch that is valid for these sections of params.yaml, these inputs, this code and this seed only.

        Raises:
            UserError: the stage ``code`` has not been run.
        """
        params, code = read_params(), Path("code") / f"{self.stage}.json"
        if not code.exists():
            raise UserError(f"{code}: no such file; `dvc repro code` makes it")
        parameters = {name: params[name] for name in sections}
        key = json.dumps([self.name, self.run.seed, parameters, digest(inputs), file_digest(code)], sort_keys=True)
        return Scratch(self.root / ".scratch", self.name, hashlib.sha256(key.encode()).hexdigest())


def run_stage(stage: str, main: Callable[[Job], None]) -> None:
    """Run a stage as a program: ``python -m stages.<stage> [ROUND PREVIOUS]``.

    A mistake of the user's is one line on stderr and exit code 1; anything else is a traceback.
    """
    parser = argparse.ArgumentParser(prog=f"stages.{stage}", description=main.__doc__)
    parser.add_argument("round", nargs="?", default="")
    parser.add_argument("previous", nargs="?", default="")
    arguments = parser.parse_args()
    gc.freeze()  # what was imported stays
    gc.enable()
    with one_line_errors():
        run = load_section("run", RunConfig)
        runtime = load_section("runtime", RuntimeConfig)
        main(
            Job(
                stage=stage,
                name=f"{stage}-{arguments.round}" if arguments.round else stage,
                round=RoundFiles(arguments.round or "r0"),
                previous=RoundFiles(arguments.previous or "r0"),
                results=Path("results") / stage / arguments.round,
                run=run,
                runtime=runtime,
            )
        )
