"""What DVC was writing when it was killed is mended, so that the same command goes on.

After each stage DVC empties dvc.lock and writes it anew, which takes a third of a second; a DVC that ends meanwhile
leaves a part of it, which the next one refuses or takes for all. The stage ``code``, on which all others depend, leaves
a process behind that keeps dvc.lock as it last was when nobody wrote it, and, when DVC has ended, puts that back where
it finds a part. DVC's list of who reads and writes what (.dvc/tmp/rwlock) is written so too; a part of it is removed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from worldmodels.common.checkpoint import write_bytes
from worldmodels.common.orphans import while_running

_EVERY, _STILL = 0.1, 1.0  # seconds between two looks; seconds without a change after which nobody is writing
_SETTLED = 0.1  # the same when DVC has ended: the next command may be typed already, and DVC writes without a pause


def guard(pid: int) -> None:
    """Leave a process behind that mends this folder's files when process ``pid`` has ended, and ends then."""
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is meant for the others
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0),
    )


class Guard:
    """Keeps and mends the files of DVC in ``folder``, whose dvc.lock is whole now."""

    def __init__(self, folder: Path) -> None:
        self._lock = folder.absolute() / "dvc.lock"
        self._users = folder.absolute() / ".dvc" / "tmp" / "rwlock"
        self._seen, self._since = _state(self._lock), time.monotonic()
        self._kept, self._whole = self._seen, _content(self._lock)

    def look(self) -> None:
        """Keep dvc.lock if it has not changed for a second, and is another one than the last."""
        state = _state(self._lock)
        if state != self._seen:
            self._seen, self._since = state, time.monotonic()
        elif state != self._kept and time.monotonic() - self._since >= _STILL:
            self._kept, content = state, _content(self._lock)
            if not is_part(content, self._whole):
                self._whole = content

    def mend(self) -> None:
        """Put back what was kept where dvc.lock is a part of one, and remove a part of the list of users."""
        if is_part(_settled(self._lock), self._whole):
            if self._whole is None:
                self._lock.unlink(missing_ok=True)
            else:
                write_bytes(self._lock, self._whole)
        users = _settled(self._users)
        try:
            json.loads(b"{}" if users is None else users)
        except ValueError:
            self._users.unlink(missing_ok=True)


def is_part(content: bytes | None, before: bytes | None) -> bool:
    """Whether a dvc.lock that was ``before`` has been emptied, and ``content`` is all that was written of the next one.

    DVC changes or appends one stage at a time. So the next one has the stages of the one before, in their order.
    """
    if content is None:
        return False
    stages, earlier = stages_of(content), (before and stages_of(before)) or {}
    if stages is None:
        return True
    names, all_names = list(stages), list(earlier)
    if names != all_names[: len(names)]:
        return False  # it has all of them and a new one, or is another branch's
    if not names:
        return bool(all_names)
    changed = [name for name in names[:-1] if stages[name] != earlier[name]]
    if len(changed) > 1:
        return False
    return len(names) < len(all_names) or len(_outs(stages, names[-1])) < len(_outs(earlier, names[-1]))


@lru_cache(maxsize=2)  # the last one and the one before, each of which is compared more than once
def stages_of(content: bytes) -> Mapping[str, Any] | None:
    """The stages of a dvc.lock; None if DVC would not read it, or its last line has no end."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import ParseError, parse_yaml
    from voluptuous import Invalid

    if not content.endswith(b"\n"):
        return None
    with suppress(ParseError, Invalid, UnicodeDecodeError):
        lock: Any = COMPILED_LOCKFILE_SCHEMA(parse_yaml(content.decode(), "dvc.lock"))
        return lock.get("stages", {})
    return None


def _outs(stages: Mapping[str, Any], name: str) -> list[Any]:
    return stages[name].get("outs", [])


def _settled(path: Path) -> bytes | None:
    """The content of a file that nobody is writing; None if there is none."""
    state = None
    while (now := _state(path)) != state:
        state = now
        time.sleep(_SETTLED)
    return _content(path)


def _state(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size
    return None


def _content(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None


def main(pid: int) -> None:
    """Guard this folder until process ``pid`` has ended."""
    guarded = Guard(Path())
    os.chdir(tempfile.gettempdir())  # Windows does not remove a folder that somebody works in
    stages_of(b"schema: '2.0'\n")  # imports what the end will need: the next command may be typed already
    for _ in while_running(pid, _EVERY):
        guarded.look()
    guarded.mend()


if __name__ == "__main__":
    main(int(sys.argv[1]))
