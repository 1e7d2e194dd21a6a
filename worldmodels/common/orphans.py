"""No process outlives the one it works for: a worker its stage, a stage the DVC that runs it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_WATCHED: set[int] = set()
_EVERY = 0.5  # seconds


def end_with(pid: int) -> None:
    """From here on, end this process, without any clean-up, within a second of the end of process ``pid``.

    What it was writing is under no final name yet (``common.checkpoint``), so nothing is lost but the work since its
    last checkpoint. A second call for the same process does nothing.
    """
    if pid in _WATCHED:
        return
    _WATCHED.add(pid)
    threading.Thread(target=_watch, args=(pid,), name="end-with", daemon=True).start()


def ancestor(name: str) -> int | None:
    """The nearest process above this one that runs the program ``name``; None if there is none."""
    import psutil  # imported late, as below: without workers and DVC nobody needs it

    for process in psutil.Process().parents():
        try:
            words = process.cmdline()[:3]  # python -m dvc
        except psutil.Error:  # it has ended, or is somebody else's
            continue
        if any(Path(word).stem == name for word in words):
            return process.pid
    return None


def while_running(pid: int, every: float = _EVERY) -> Iterator[None]:
    """Yield every so many seconds until process ``pid`` has ended, whoever started it."""
    import psutil

    try:
        process = psutil.Process(pid)
        while process.is_running() and not _is_zombie(process):
            yield
            time.sleep(every)
    except psutil.NoSuchProcess:
        pass  # it had ended before we looked


def _is_zombie(process: "psutil.Process") -> bool:
    import psutil

    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:  # somebody else's, as sudo's are: it runs
        return False


def _watch(pid: int) -> None:
    for _ in while_running(pid):
        pass
    os._exit(1)
