"""Code that all stages share: arguments, round, scratch folder, locks and error handling."""

import argparse
import errno
import gc
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
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
        locks: files that this process keeps others from until the stage ends.
    """

    stage: str
    name: str
    round: RoundFiles
    previous: RoundFiles
    results: Path
    run: RunConfig
    runtime: RuntimeConfig
    begun: float
    locks: ExitStack

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

        Experiments in other folders share it: one that finds another at the same work waits until that has ended.

        Raises:
            UserError: the stage ``code`` has not been run.
        """
        params, code = read_params(), Path("code") / f"{self.stage}.json"
        if not code.exists():
            raise UserError(f"{code}: no such file; `dvc repro code` makes it")
        parameters = {name: params[name] for name in sections}
        key = json.dumps([self.name, self.run.seed, parameters, digest(inputs), file_digest(code)], sort_keys=True)
        scratch = Scratch(self.root / ".scratch", self.name, hashlib.sha256(key.encode()).hexdigest())
        path = scratch.folder.with_suffix(".lock")
        if not _lock(self.locks, path, 0):
            print(f"{self.name}: another experiment is at work on the same; waiting for its end", flush=True)
            _lock(self.locks, path, -1)
        return scratch


def run_stage(stage: str, main: Callable[[Job], None]) -> None:
    """Run a stage as a program: ``python -m stages.<stage> [ROUND PREVIOUS]``.

    A ``UserError`` prints one line on stderr and exits with code 1; any other error prints a traceback.
    """
    parser = argparse.ArgumentParser(prog=f"stages.{stage}", description=main.__doc__)
    parser.add_argument("round", nargs="?", default="")
    parser.add_argument("previous", nargs="?", default="")
    arguments = parser.parse_args()
    if (pid := ancestor("dvc")) is not None:
        end_with(pid)
    gc.freeze()  # imported objects live until exit; exclude them from collection
    gc.enable()
    name = f"{stage}-{arguments.round}" if arguments.round else stage
    with one_line_errors(), ExitStack() as locks:
        run = load_section("run", RunConfig)
        runtime = load_section("runtime", RuntimeConfig)
        if not _lock(locks, Path(".scratch") / f"{name}.lock", _ENDS_WITHIN):
            raise UserError(f"{name}: another process is at work on it in this folder; wait until it has ended")
        job = Job(
            stage=stage,
            name=name,
            round=RoundFiles(arguments.round or "r0"),
            previous=RoundFiles(arguments.previous or "r0"),
            results=Path("results") / stage / arguments.round,
            run=run,
            runtime=runtime,
            begun=time.monotonic(),
            locks=locks,
        )
        main(job)


def _lock(locks: ExitStack, path: Path, timeout: float) -> bool:
    """Whether nobody else holds the lock file ``path``, which this process then does until ``locks`` is closed.

    Args:
        timeout: seconds to wait for it; negative: without end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        locks.enter_context(FileLock(path, timeout))  # the system frees it, however its holder ends
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks: nobody is kept out
            raise
    return True
