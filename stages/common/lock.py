"""What DVC was writing when it was killed is mended, so that the same command goes on.

After each stage DVC empties dvc.lock and writes it anew, which takes a third of a second; a DVC that ends meanwhile
leaves a file that the next one refuses. While a stage runs, the file is whole. So each stage keeps a copy, and the
first one leaves a process behind that waits for the end of DVC, and puts the copy back if the file is not whole then.
DVC's list of who reads and writes what (.dvc/tmp/rwlock) is written likewise; a part of one is removed, since an ended
DVC reads and writes nothing.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from worldmodels.common.checkpoint import write_bytes
from worldmodels.common.orphans import wait_for
from worldmodels.common.params import UserError, read_params

LOCK, COPY = Path("dvc.lock"), Path(".scratch/dvc.lock")
USERS = Path(".dvc/tmp/rwlock")


def keep() -> None:
    """Copy dvc.lock, which is whole, since DVC waits for this stage."""
    if LOCK.exists():
        write_bytes(COPY, LOCK.read_bytes())
    else:
        COPY.unlink(missing_ok=True)


def guard(pid: int) -> None:
    """Leave a process behind that mends these files when process ``pid`` has ended, and ends then."""
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is meant for the others
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0),
    )


def mend() -> None:
    """If dvc.lock is not whole put its copy back, or remove it if there was none; remove a part of ``USERS``."""
    if not is_whole():
        if COPY.exists():
            write_bytes(LOCK, COPY.read_bytes())
        else:
            LOCK.unlink()
    with suppress(FileNotFoundError):
        try:
            json.loads(USERS.read_bytes())
        except ValueError:
            USERS.unlink()


def is_whole() -> bool:
    """Whether DVC would read dvc.lock, and finds there every stage that the copy has."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    if not LOCK.exists():
        return True
    try:
        lock: Any = COMPILED_LOCKFILE_SCHEMA(read_params(LOCK))
    except (UserError, Invalid):
        return False
    return not COPY.exists() or read_params(COPY)["stages"].keys() <= lock["stages"].keys()


if __name__ == "__main__":
    is_whole()  # imports what the end will need: the next command may be typed already
    wait_for(int(sys.argv[1]))
    mend()
