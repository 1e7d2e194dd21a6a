"""Everything that was broken on purpose, in one table.

    uv run --with "dvc[s3]" --with "moto[server]" python -m tests.faults [--kills 100] [NAME…]

Each row is printed when it is known; what is not fine is told below the table. Without moto the bucket is left out.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.faults import damage, disk, kills, load, processes, remotes, test_environments, test_parameters
from tests.faults.outcomes import FINE, Outcome, Verdict, pixels


def _counted(kind: str, counts: Counter[str]) -> list[Outcome]:
    """What the generated inputs came to."""
    refused = [Outcome(kind, "", Verdict.TOLD)] * counts["refused"]
    return refused + [Outcome(kind, "", Verdict.SURVIVED)] * (counts.total() - len(refused))


def _kills(root: Path, count: int) -> list[Outcome]:
    tally = kills.torture(count, 0, root)
    lost = [Outcome("a kill", "", Verdict.LOST, fault) for fault in tally.faults]
    print(tally.table(), file=sys.stderr)
    return [*lost, *([Outcome("a kill", "", Verdict.SURVIVED)] * (tally.kills.total() - len(lost)))]


def _remote(remote: remotes.Remote, root: Path) -> list[Outcome]:
    rows = remotes.trials(remote, root)
    return [Outcome(what, "", Verdict.SURVIVED if right else Verdict.LOST, seen) for what, seen, right in rows]


def _bucket(root: Path) -> list[Outcome]:
    with remotes.s3_server() as endpoint:
        return _remote(remotes.BucketRemote(endpoint), root)


HARNESSES: dict[str, tuple[str, Callable[[Path, argparse.Namespace], Iterable[Outcome]]]] = {
    "parameters": (
        "params.yaml drawn at random",
        lambda _, given: _counted("params.yaml", test_parameters.checked(given.parameters)),
    ),
    "environments": (
        "environments drawn at random",
        lambda _, given: _counted("environment", test_environments.played(given.environments)),
    ),
    "damage": ("files damaged, a pickle among them", lambda root, _: damage.tried(pixels(root))),
    "disk": ("a disk that takes no more, and room again", lambda root, _: disk.tried(pixels(root))),
    "processes": (
        "workers that die or hang, two at once, clocks that jump",
        lambda root, _: processes.tried(root),
    ),
    "folder": ("remotes: a folder", lambda root, _: _remote(remotes.FolderRemote(root / "remote"), root)),
    "bucket": ("remotes: a bucket of an S3 server", lambda root, _: _bucket(root)),
    "load": ("20 × the data, episodes of one step, frames of 4K", lambda root, _: load.tried(root)),
    "kills": ("kills at random instants", lambda root, given: _kills(root, given.kills)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(HARNESSES)}; none: all")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--parameters", type=int, default=2000)
    parser.add_argument("--environments", type=int, default=1500)
    given = parser.parse_args()
    if unknown := set(given.names) - set(HARNESSES):
        parser.error(f"{', '.join(unknown)}: accepted are {', '.join(HARNESSES)}")
    names = given.names or [name for name in HARNESSES if name != "bucket" or importlib.util.find_spec("moto")]
    wrong: list[Outcome] = []
    head = ["what", "tried", *Verdict, "minutes"]
    print(f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", sep="\n", flush=True)
    for name in names:
        what, harness = HARNESSES[name]
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as root:
            try:
                outcomes = list(harness(Path(root), given))
            except Exception:  # of what is drawn at random, the first that is not played, accepted or refused
                outcomes = [Outcome(name, "", Verdict.UNCLEAR, traceback.format_exc())]
        counts = Counter(one.verdict for one in outcomes)
        minutes = f"{(time.monotonic() - begun) / 60:.1f}"
        cells = [what, str(len(outcomes)), *(str(counts[verdict]) for verdict in Verdict), minutes]
        print(f"| {' | '.join(cells)} |", flush=True)
        wrong += [one for one in outcomes if one.verdict not in FINE]
    print("", *wrong, sep="\n")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
