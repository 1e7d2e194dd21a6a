"""The pipeline killed at random instants until it is whole: what was lost?

    uv run python -m tests.faults.kills [--kills 100] [--seed 0]

A run that nothing disturbs gives the wanted bytes. Then the same pipeline, in a checkout of its own, is begun, killed
after a random time, begun again by the same command, and so on until it ends by itself; its outputs have to be those
bytes. Four ways to kill take turns, and two commands; every fifth kill waits for the moment at which DVC has emptied
dvc.lock to write it anew. Nothing may work on afterwards, fail, or hang.
"""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml

from stages.common.lock import stages_of
from tests.test_pipeline import TINY, checkout, environ, run

PARAMS = ["env.id=CartPole-v1", "run.rounds=2", "runtime.workers=2", "mdnrnn.epochs=120", "controller.generations=60"]
WAYS = ("KILL to dvc", "KILL to all", "TERM to dvc", "Ctrl-C")
MOMENTS = ("any", "any", "any", "any", "dvc.lock is written")
SHORTEST, LONGEST = 1.0, 14.0  # seconds before a kill: a stage takes three and more
END_WITHIN = 20.0  # seconds in which everything that works for a killed command ends
HANGS_AFTER = 300.0  # seconds
TYPED_AFTER = 4.0  # seconds until the command is given again, in which what DVC left half written is mended


@dataclass
class Tally:
    """Kills by way and stage, and what was wrong after them.

    Attributes:
        kills: by (way, stage).
        faults: a line for each kill after which something worked on, and each run that failed, hung or has other bytes.
        parts: number of kills that left a part of dvc.lock.
        whole: number of runs that ended by themselves with the wanted bytes.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    parts: int = 0
    whole: int = 0

    def table(self) -> str:
        """In Markdown, a row for each stage and a column for each way."""
        stages = sorted({stage for _, stage in self.kills})
        rows = [["killed in", *WAYS], ["---"] * (len(WAYS) + 1)]
        rows += [[stage, *(str(self.kills[way, stage]) for way in WAYS)] for stage in stages]
        rows += [["all", *(str(sum(self.kills[way, stage] for stage in stages)) for way in WAYS)]]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join(
            [
                *lines,
                "",
                f"{self.kills.total()} kills, {self.parts} of which left a part of dvc.lock;"
                f" {self.whole} runs whole, {len(self.faults)} faults",
            ]
        )


def outputs(folder: Path) -> dict[str, str]:
    """Digest of each of the pipeline's outputs, by its path, except what tells of times."""
    path = folder / "dvc.lock"
    lock = yaml.safe_load(path.read_text()) if path.exists() else None
    outs = [out for stage in (lock or {"stages": {}})["stages"].values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if out["path"].startswith(("data/", "models/"))}


def torture(kills: int, seed: int, root: Path) -> Tally:
    """Kill ``kills`` times at least; the last run is allowed to end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it
    whole = checkout(root / "whole", *PARAMS)
    done = run(whole, "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted, tally, rng = outputs(whole), Tally(), np.random.default_rng(seed)
    given = [part for override in (*TINY, *PARAMS) for part in ("-S", override)]  # else it would compose the defaults
    commands = itertools.cycle((("dvc", "repro"), ("dvc", "exp", "run", *given)))
    kinds = zip(itertools.cycle(WAYS), itertools.cycle(MOMENTS), strict=False)
    while tally.kills.total() < kills:
        command, folder = next(commands), checkout(Path(tempfile.mkdtemp(dir=root)), *PARAMS)
        while _killed(folder, command, next(kinds), rng.uniform(SHORTEST, LONGEST), kills, tally):
            pass
        if outputs(folder) != wanted:
            tally.faults.append(f"{' '.join(command[:3])}: other bytes than the undisturbed run's")
        else:
            tally.whole += 1
    return tally


def _killed(
    folder: Path, command: tuple[str, ...], kind: tuple[str, str], after: float, kills: int, tally: Tally
) -> bool:
    """Whether the command was killed, in a way and at a moment; if all kills are done, it is left to end."""
    way, moment = kind
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environ(), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        last = tally.kills.total() >= kills
        with suppress(subprocess.TimeoutExpired):
            process.wait(HANGS_AFTER if last else after)
        if moment != "any" and not last:
            _await_write(process, folder / "dvc.lock")
        if process.poll() is not None:
            if process.returncode:
                said.seek(0)
                tally.faults.append(f"{' '.join(command[:3])}: exit code {process.returncode}: {said.read()[-2000:]}")
            return False
        if last:
            tally.faults.append(f"{' '.join(command[:3])}: hung")
        workers = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        _kill(process, way)
        with suppress(OSError):
            tally.parts += stages_of((folder / "dvc.lock").read_bytes()) is None
        said.seek(0)
        stage = [line.split("'")[1] for line in said if line.startswith("Running stage")][-1:] or [
            "before the first stage"
        ]
        tally.kills[way, stage[0].split("@")[0]] += 1
        left = list(_working(process, workers))
        if left:
            tally.faults.append(f"{way} in {stage[0]}: {', '.join(left)} worked on for {END_WITHIN:g} s")
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()  # or DVC would take the zombie for a DVC that is at work
        time.sleep(TYPED_AFTER)
        return True


def _await_write(process: subprocess.Popen, lock: Path) -> None:
    """Return when DVC has emptied dvc.lock, or has ended, or hangs."""
    size, deadline = 0, time.monotonic() + HANGS_AFTER
    while process.poll() is None and time.monotonic() < deadline:
        before, size = size, lock.stat().st_size if lock.exists() else 0
        if size < before:
            return
        time.sleep(0.005)


def _kill(process: subprocess.Popen, way: str) -> None:
    with suppress(ProcessLookupError):
        if way == "KILL to dvc":
            process.kill()
        elif way == "TERM to dvc":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGKILL if way == "KILL to all" else signal.SIGINT)


def _working(process: subprocess.Popen, pids: list[int]) -> Iterator[str]:
    """What of a killed command is still there after ``END_WITHIN``."""
    deadline = time.monotonic() + END_WITHIN
    while alive := [pid for pid in pids if _runs(pid)]:
        if time.monotonic() > deadline:
            yield from (" ".join(psutil.Process(pid).cmdline()[:4]) for pid in alive)
            return
        process.poll()  # so that it is no zombie
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        tally = torture(options.kills, options.seed, Path(root))
    print(tally.table(), *tally.faults, sep="\n")
    return min(len(tally.faults), 1)


if __name__ == "__main__":
    sys.exit(main())
