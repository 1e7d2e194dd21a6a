"""What becomes of a fault: a tiny pipeline to try it on, the verdict, and tables."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.test_pipeline import COUNTING, checkout, environ, repro, run

HANGS_AFTER = 600.0  # seconds
HUNG_CODE = 124  # as `timeout` has it
AGENT = "agents/tiny"
MADE = ("code", "data", "models", "results/evaluate", AGENT)


class Verdict(StrEnum):
    """What became of a fault."""

    SURVIVED = "survived"
    TOLD = "told"
    UNCLEAR = "told unclearly"
    LOST = "lost"
    HUNG = "hung"
    WRONG = "silently wrong"
    UNPICKLED = "unpickled"


FINE = (Verdict.SURVIVED, Verdict.TOLD)


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    Attributes:
        kind: what was at fault: a kind of file, a program.
        fault: what was done to it.
        said: what was said, where it helps.
    """

    kind: str
    fault: str
    verdict: Verdict
    said: str = ""


def attempt(folder: Path, *command: str, within: float = HANGS_AFTER) -> subprocess.CompletedProcess[str]:
    """A command in ``folder``, whose exit code is ``HUNG_CODE`` if it does not end."""
    try:
        return subprocess.run(
            command, cwd=folder, env=environ(), capture_output=True, text=True, timeout=within, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, HUNG_CODE, "", "")


def program(module: str, *arguments: str) -> list[str]:
    """The command that runs a module."""
    return [sys.executable, "-m", module, *arguments]


class Tiny:
    """A pipeline of one round in ``folder``, run, its agent packed, and a copy of what it made.

    Args:
        overrides: of its parameters.
    """

    def __init__(self, root: Path, *overrides: str) -> None:
        self.folder = checkout(root / "tiny", "run.rounds=1", "evaluate.videos=0", *overrides)
        self._kept = root / "kept"
        repro(self.folder)
        packed = run(self.folder, *program("stages.export", AGENT))
        assert packed.returncode == 0, packed.stderr
        for name in MADE:
            shutil.copytree(self.folder / name, self._kept / name)

    def judged(
        self, done: subprocess.CompletedProcess[str], *named: str, said_before: str | None = None
    ) -> tuple[Verdict, str]:
        """The verdict on a program that met a fault, and what it said; what it made is then as before the fault.

        Args:
            named: one of these has to be in the one line that tells the fault.
            said_before: what the program said without a fault, where that is its result.
        """
        same = all(contents(self.folder / name) == contents(self._kept / name) for name in MADE)
        if not same:
            for name in MADE:
                shutil.rmtree(self.folder / name, ignore_errors=True)
                shutil.copytree(self._kept / name, self.folder / name)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        if done.returncode == HUNG_CODE:
            return Verdict.HUNG, ""
        if done.returncode == 0:
            as_before = same and said_before in (None, done.stdout)
            return (Verdict.SURVIVED if as_before else Verdict.WRONG), done.stderr[-500:]
        if done.returncode != 1 or len(errors) != 1 or "Traceback" in done.stderr:
            return Verdict.UNCLEAR, f"exit code {done.returncode}: {done.stderr[-1500:]}"
        if not same:
            return Verdict.LOST, errors[0]
        return (Verdict.TOLD if any(name in errors[0] for name in named) else Verdict.UNCLEAR), errors[0]


def pixels(root: Path) -> Tiny:
    """The pipeline of an environment of pictures."""
    return Tiny(root, *COUNTING)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that neither tells of times nor is gone as soon as a stage begins."""
    begun_anew = {"plots", "images", "cost.json"}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not begun_anew & set(path.parts))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def table(rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, whose first row is its head."""
    head, *body = [[str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def report(outcomes: Sequence[Outcome]) -> str:
    """How many of which verdict, and every one that is not fine."""
    counts = Counter(str(one.verdict) for one in outcomes)
    return "\n".join([str(dict(counts)), *(str(one) for one in outcomes if one.verdict not in FINE)])


def failed(outcomes: Iterable[Outcome]) -> int:
    """The exit code of a harness."""
    return int(any(one.verdict not in FINE for one in outcomes))
