"""Every kind of file damaged in every way: is it told in one line, or survived, and never silently wrong?

    uv run python -m tests.faults.damage [--all]

A tiny pipeline is run once. Then one file at a time is damaged, and a stage that reads it is run alone: it has to end
in one line that names the file or its folder, with exit code 1, or to give what it gave before.
"""

import argparse
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.faults.outcomes import AGENT, Outcome, Tiny, Verdict, attempt, failed, pixels, program, report, table

READERS = {  # what reads a kind of file, by the file's pattern
    "data/episodes/r1/*.h5": "stages.encode r1 r0",
    "data/episodes/r1/manifest.json": "stages.encode r1 r0",
    "models/vae/r1/*.safetensors": "stages.encode r1 r0",
    "data/latents/r1/*.npy": "stages.mdnrnn r1 r0",
    "data/latents/r1/manifest.json": "stages.mdnrnn r1 r0",
    "models/mdnrnn/r1/*.safetensors": "stages.controller r1 r0",
    "models/controller/r1/*.safetensors": "stages.evaluate",
    "code/mdnrnn.json": "stages.mdnrnn r1 r0",
    "params.yaml": "stages.evaluate",
}
NAMED = {"params.yaml": ("env.id = ",)}  # a parameter is named by its key


AS_GOOD = [("params.yaml", "a bit in the middle")]
"""It makes another number there: another experiment, which nobody can tell from a damage."""


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


def tried(tiny: Tiny, *, all_files: bool = False) -> Iterator[Outcome]:
    """Every damage to the first file of each pattern, or to all of them."""
    for pattern, reader in READERS.items():
        files = sorted(tiny.folder.glob(pattern))
        assert files, pattern
        for file in files if all_files else files[:1]:
            yield from _damaged(tiny, file, pattern, program(*reader.split()))
    for file in sorted((tiny.folder / AGENT).iterdir()):
        command = program("worldmodels.evaluate", AGENT, "--episodes", "2")
        yield from _damaged(tiny, file, f"{AGENT}/{file.name}", command, said=attempt(tiny.folder, *command).stdout)


def _damaged(tiny: Tiny, file: Path, pattern: str, command: list[str], said: str | None = None) -> Iterator[Outcome]:
    whole, trace = file.read_bytes(), tiny.folder / "exploded"
    for name, damage in DAMAGES.items():
        if (pattern, name) in AS_GOOD:
            continue
        file.write_bytes(damage(whole))
        done = attempt(tiny.folder, *command)
        file.write_bytes(whole)
        verdict, line = tiny.judged(done, file.name, file.parent.name, *NAMED.get(file.name, ()), said_before=said)
        yield Outcome(pattern, name, Verdict.UNPICKLED if trace.exists() else verdict, line)
        trace.unlink(missing_ok=True)


def matrix(outcomes: Sequence[Outcome]) -> str:
    """In Markdown, a row for each kind of file and a column for each damage."""
    verdicts = {(one.kind, one.fault): one.verdict for one in outcomes}
    kinds = dict.fromkeys(one.kind for one in outcomes)
    rows = [[f"`{kind}`", *(verdicts.get((kind, damage), "–") for damage in DAMAGES)] for kind in kinds]
    return table([["file", *DAMAGES], *rows])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every file of a kind, not only the first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        outcomes = list(tried(pixels(Path(root)), all_files=options.all))
    print(matrix(outcomes), "", report(outcomes), sep="\n")
    return failed(outcomes)


if __name__ == "__main__":
    sys.exit(main())
