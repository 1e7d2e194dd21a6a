"""A disk that takes no more, as a limit on the size of a file: is it told in one line, with nothing half written?

    uv run python -m tests.faults.disk

The programs of a tiny pipeline run with limits from which some of their files are too large. (HDF5 ends the process
where a write fails, so shards are made in memory and written by Python.)
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults.outcomes import Outcome, Tiny, Verdict, attempt, failed, pixels, report

LIMITS = (100, 1000, 3000, 20_000)  # bytes
PROGRAMS = {
    "stages.code": (),
    "stages.init": (),
    "stages.collect": ("r1", "r0"),
    "stages.vae": ("r1", "r0"),
    "stages.encode": ("r1", "r0"),
    "stages.mdnrnn": ("r1", "r0"),
    "stages.controller": ("r1", "r0"),
    "stages.evaluate": (),
}
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def tried(
    tiny: Tiny, programs: Mapping[str, Sequence[str]] = PROGRAMS, limits: Sequence[int] = LIMITS
) -> Iterator[Outcome]:
    """Each program with each limit, and then without one: it makes the bytes that it made before."""
    for module, arguments in programs.items():
        for limit in limits:
            done = attempt(tiny.folder, sys.executable, "-c", LIMITED, str(limit), module, *arguments)
            verdict, said = tiny.judged(done, "the same command goes on")
            partial = [path.name for path in tiny.folder.rglob(".*-partial")]
            yield Outcome(module, f"{limit} bytes", Verdict.LOST if partial else verdict, said)
        done = attempt(tiny.folder, sys.executable, "-c", LIMITED, str(1 << 40), module, *arguments)
        verdict, said = tiny.judged(done)
        yield Outcome(module, "room again", verdict if verdict is Verdict.SURVIVED else Verdict.LOST, said)


def main() -> int:
    with tempfile.TemporaryDirectory() as root:
        outcomes = list(tried(pixels(Path(root))))
    print(report(outcomes))
    return failed(outcomes)


if __name__ == "__main__":
    sys.exit(main())
