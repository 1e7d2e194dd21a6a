"""Every kind of file damaged in every way: is it told in one line, or survived, and never silently wrong?

    uv run python -m tests.faults.damage [--all]

A tiny pipeline is run once. Then one file at a time is damaged, and a stage that reads it is run alone: it has to end
in one line that names the file or its folder, with exit code 1, or to give what it gave before.
"""

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.test_pipeline import COUNTING, checkout, repro, run

READERS = {  # what reads a kind of file, by the file's pattern
    "data/episodes/r1/*.h5": "encode r1 r0",
    "data/episodes/r1/manifest.json": "encode r1 r0",
    "models/vae/r1/*.safetensors": "encode r1 r0",
    "data/latents/r1/*.npy": "mdnrnn r1 r0",
    "data/latents/r1/manifest.json": "mdnrnn r1 r0",
    "models/mdnrnn/r1/*.safetensors": "controller r1 r0",
    "models/controller/r1/*.safetensors": "evaluate",
    "code/mdnrnn.json": "mdnrnn r1 r0",
    "params.yaml": "evaluate",
}
MADE = {  # what a stage makes
    "stages.encode": "data/latents/r1",
    "stages.mdnrnn": "models/mdnrnn/r1",
    "stages.controller": "models/controller/r1",
    "stages.evaluate": "results/evaluate",
}
NAMED = {"params.yaml": ("env.id = ",)}  # a parameter is named by its key
AGENT, HUNG, FINE = "agents/tiny", 124, ("told", "survived")


class Bomb:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch exploded",)


def _flip(at: float) -> Callable[[bytes], bytes]:
    def flipped(whole: bytes) -> bytes:
        place = int(at * len(whole))
        return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]

    return flipped


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "a bit early": _flip(0.05),
    "a bit in the middle": _flip(0.5),
    "a bit late": _flip(0.98),
    "noise": lambda whole: bytes(reversed(whole)),
    "a pickle": lambda _: pickle.dumps(Bomb()),
}


@dataclass(frozen=True)
class Outcome:
    """What became of one damage: ``told``, ``survived``, or what went wrong."""

    kind: str
    damage: str
    verdict: str
    said: str = ""


def prepared(root: Path) -> Path:
    """A pipeline of one round, run, and its agent packed."""
    folder = checkout(root, "run.rounds=1", "evaluate.videos=0", *COUNTING)
    repro(folder)
    packed = run(folder, sys.executable, "-m", "stages.export", AGENT)
    assert packed.returncode == 0, packed.stderr
    return folder


def tried(folder: Path, *, all_files: bool = False) -> Iterator[Outcome]:
    """Every damage to the first file of each pattern, or to all of them."""
    for pattern, stage in READERS.items():
        command = [sys.executable, "-m", *f"stages.{stage}".split()]
        files = sorted(folder.glob(pattern))
        assert files, pattern
        for file in files if all_files else files[:1]:
            yield from _damaged(folder, file, pattern, command)
    for file in sorted((folder / AGENT).iterdir()):
        command = [sys.executable, "-m", "worldmodels.evaluate", AGENT, "--episodes", "2"]
        yield from _damaged(folder, file, f"{AGENT}/{file.name}", command)


def _damaged(folder: Path, file: Path, pattern: str, command: list[str]) -> Iterator[Outcome]:
    whole, made = file.read_bytes(), folder / MADE.get(command[2], "results/evaluate")
    with tempfile.TemporaryDirectory() as kept:
        shutil.copytree(made, kept, dirs_exist_ok=True)
        wanted = _ran(folder, command).stdout if command[2] not in MADE else ""
        for name, damage in DAMAGES.items():
            file.write_bytes(damage(whole))
            done = _ran(folder, command)
            file.write_bytes(whole)
            same = _contents(made) == _contents(Path(kept)) and (not wanted or done.stdout == wanted)
            yield Outcome(pattern, name, *_verdict(folder, file, done, same=same))
            shutil.rmtree(made)
            shutil.copytree(kept, made)


def _ran(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return run(folder, *command)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, HUNG, "", "")


def _verdict(folder: Path, file: Path, done: subprocess.CompletedProcess[str], *, same: bool) -> tuple[str, str]:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    if (folder / "exploded").exists():
        (folder / "exploded").unlink()
        return "UNPICKLED", ""
    if done.returncode == HUNG:
        return "HUNG", ""
    if done.returncode == 0:
        return "survived" if same else "SILENTLY WRONG", done.stderr[-500:]
    if done.returncode != 1 or len(errors) != 1 or "Traceback" in done.stderr:
        return "NOT ONE LINE", done.stderr[-1500:]
    named = (file.name, file.parent.name, *NAMED.get(file.name, ()))
    return "told" if any(name in errors[0] for name in named) else "NOT NAMED", errors[0]


def _contents(folder: Path) -> dict[str, bytes]:
    """Of the files that do not tell of times."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "plots" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def table(outcomes: list[Outcome]) -> str:
    """In Markdown, a row for each kind of file and a column for each damage."""
    verdicts = {(one.kind, one.damage): one.verdict for one in outcomes}
    rows = [["file", *DAMAGES], ["---"] * (len(DAMAGES) + 1)]
    rows += [
        [f"`{kind}`", *(verdicts[kind, damage] for damage in DAMAGES)]
        for kind in dict.fromkeys(one.kind for one in outcomes)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every file of a kind, not only the first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        outcomes = list(tried(prepared(Path(root)), all_files=options.all))
    wrong = [one for one in outcomes if one.verdict not in FINE]
    print(table(outcomes), "", dict(Counter(one.verdict for one in outcomes)), *wrong, sep="\n")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
