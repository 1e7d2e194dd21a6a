"""Workers that die or hang, two runs at once, a clock that jumps: told in one line, or survived with the same bytes.

    uv run python -m tests.faults.processes

The stages of a tiny pipeline are run alone, and `dvc repro` twice at once.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.faults.faulty import FAULTS, OF_ITSELF, OF_THE_ENVIRONMENT
from tests.faults.outcomes import (
    HANGS_AFTER,
    HUNG_CODE,
    Outcome,
    Tiny,
    Verdict,
    attempt,
    failed,
    program,
    report,
    table,
)
from tests.test_pipeline import environ

PARAMS = [
    "evaluate.episodes_per_task=1",
    "env.id=tests.faults.faulty:Faulty-v0",
    "runtime.task_timeout=20",
    "controller.fitness=real",
]
PLAYING = {"stages.collect": ("r1", "r0"), "stages.controller": ("r1", "r0"), "stages.evaluate": ()}
TIMED = {"stages.vae": ("r1", "r0"), "stages.mdnrnn": ("r1", "r0"), **PLAYING}
DVC_REFUSES = ("Unable to acquire lock", "is busy, it is being blocked by")
JUMPING = """
import itertools, runpy, sys, time
now, jump = time.time, itertools.cycle((0.0, 86400.0, -86400.0, 3600.0))
time.time = lambda: now() + next(jump)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def players(tiny: Tiny, faults: Iterable[str], where: str) -> Iterator[Outcome]:
    """Each fault of an environment, in each stage that plays; then the stage without a fault."""
    for module, arguments in PLAYING.items():
        for name in faults:
            (tiny.folder / "fault").write_text(name)
            done = attempt(tiny.folder, *program(module, *arguments), within=120)
            (tiny.folder / "fault").unlink()
            told = {"hangs": "runtime.task_timeout"}.get(name, "a worker process died")
            verdict, said = tiny.judged(done, "Faulty-v0" if name in OF_ITSELF else told)
            yield Outcome(module, f"an environment {name}, {where}", verdict, said)
        verdict, said = tiny.judged(attempt(tiny.folder, *program(module, *arguments)))
        yield Outcome(module, "again, without a fault", verdict, said)


def clocks(tiny: Tiny) -> Iterator[Outcome]:
    """Each stage under a clock that jumps by a day and an hour, to and fro."""
    for module, arguments in TIMED.items():
        done = attempt(tiny.folder, sys.executable, "-c", JUMPING, module, *arguments)
        verdict, said = tiny.judged(done, "runtime.task_timeout")  # joblib waits by the wall clock
        yield Outcome(module, "the clock jumps", verdict, said)


def twice(tiny: Tiny) -> Iterator[Outcome]:
    """Two runs in one folder at once: one has to win, and the other to say so or to come to the same."""
    commands = {module: program(module, *arguments) for module, arguments in TIMED.items()}
    for name, command in {**commands, "dvc repro -f": ["dvc", "repro", "-f"]}.items():
        both = [_begun(tiny.folder, command, wait) for wait in (0.0, 0.3)]
        ended = [_ended(process) for process in both]
        refused = [index for index, done in enumerate(ended) if any(words in done.stderr for words in DVC_REFUSES)]
        for index, done in enumerate(ended):
            verdict, said = tiny.judged(done, "at work")
            if verdict is Verdict.UNCLEAR and refused == [index]:
                verdict, said = Verdict.TOLD, done.stderr.strip().splitlines()[0]
            yield Outcome(name, f"two at once, the {('first', 'second')[index]}", verdict, said)


def _begun(folder: Path, command: Sequence[str], wait: float) -> subprocess.Popen[str]:
    time.sleep(wait)
    return subprocess.Popen(
        command, cwd=folder, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        said, errors = process.communicate(timeout=HANGS_AFTER)
    except subprocess.TimeoutExpired:
        process.kill()
        return subprocess.CompletedProcess(process.args, HUNG_CODE, "", "")
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def tried(root: Path) -> Iterator[Outcome]:
    """All of them."""
    yield from players(Tiny(root / "one", *PARAMS, "runtime.workers=1"), OF_THE_ENVIRONMENT, "played in the stage")
    tiny = Tiny(root / "two", *PARAMS, "runtime.workers=2")
    yield from players(tiny, FAULTS, "played in workers")
    yield from clocks(tiny)
    yield from twice(tiny)


def main() -> int:
    with tempfile.TemporaryDirectory() as root:
        outcomes = list(tried(Path(root)))
    rows = ([one.kind, one.fault, one.verdict, one.said[:160]] for one in outcomes)
    print(table([["program", "fault", "verdict", "said"], *rows]))
    print(report(outcomes))
    return failed(outcomes)


if __name__ == "__main__":
    sys.exit(main())
