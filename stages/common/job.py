"""Code that all stages share: arguments, round, scratch folder and error handling."""

import argparse
import gc
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from worldmodels.common.checkpoint import Scratch, digest, file_digest
from worldmodels.common.errors import one_line_errors
from worldmodels.common.orphans import ancestor, end_with
from worldmodels.common.params import Count, Natural, UserError, load_section, read_params, settings
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.files import RoundFiles

_ENDS_WITHIN = 5.0  # seconds that a stage has to end in after its DVC was killed; the next command may be given already


@settings
class RunConfig:
    """The section ``run``: labels, seed and number of rounds.

    Attributes:
        env: name of the environment group that was composed; a label.
        mode: name of the mode group that was composed; a label.
        seed: the run's seed; every random stream is derived from it.
        rounds: number of rounds in the section ``rounds``.
        final_round: the last round, which is evaluated.
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
        name: stage and round; used in messages and in the names of random streams.
        round, previous: files of this round and of the previous one; of r0 for a stage without rounds.
        results: folder of the stage's metrics and plots.
        begun: when the stage began, by ``time.monotonic``.
    """

    stage: str
    name: str
    round: RoundFiles
    previous: RoundFiles
    results: Path
    run: RunConfig
    runtime: RuntimeConfig
    begun: float

    @property
    def root(self) -> Path:
        """The project's root: the checkout in which DVC runs."""
        return Path(os.environ.get("DVC_ROOT", "."))

    @property
    def label(self) -> str:
        """Environment, mode, and the environment's id, which may be another than the one of that name."""
        env_id = str(read_params()["env"]["id"]).rpartition(":")[2]
        return f"{self.run.env}_{self.run.mode}_{re.sub('[^A-Za-z0-9.-]', '-', env_id)}"

    def scratch(self, sections: Sequence[str], inputs: Sequence[Path]) -> Scratch:
        """Scratch that is valid only for these sections of params.yaml, these inputs, this code and this seed.

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

    A ``UserError`` prints one line on stderr and exits with code 1; any other error prints a traceback.
    """
    parser = argparse.ArgumentParser(prog=f"stages.{stage}", description=main.__doc__)
    parser.add_argument("round", nargs="?", default="")
    parser.add_argument("previous", nargs="?", default="")
    arguments, begun = parser.parse_args(), time.monotonic()
    if (pid := ancestor("dvc")) is not None:
        end_with(pid)
    gc.freeze()  # imported objects live until exit; exclude them from collection
    gc.enable()
    with one_line_errors():
        run = load_section("run", RunConfig)
        runtime = load_section("runtime", RuntimeConfig)
        job = Job(
            stage=stage,
            name=f"{stage}-{arguments.round}" if arguments.round else stage,
            round=RoundFiles(arguments.round or "r0"),
            previous=RoundFiles(arguments.previous or "r0"),
            results=Path("results") / stage / arguments.round,
            run=run,
            runtime=runtime,
            begun=begun,
        )
        with _alone(job.name):
            main(job)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep others from the same job in this folder: each would remove what the other has made."""
    path = Path(".scratch") / f"{name}.lock"  # it stays; the system frees it, however its holder ends
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path, timeout=_ENDS_WITHIN)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{name}: another process is at work on it in this folder; wait until it has ended") from None
    try:
        yield
    finally:
        lock.release()
