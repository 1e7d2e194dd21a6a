"""Error handling of programs: one line for a user error, a traceback for any other, and no output after it."""

import errno
import os
import sqlite3
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldmodels.common.params import UserError

_MEMORY_FAULTS = (  # torch's words: Linux, Windows, a GPU; the system's
    "can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "out of memory",
    os.strerror(errno.ENOMEM),
)
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Exit with code 1 on an error, 130 on Ctrl-C, with the reason on stderr, and 141 if nobody reads our output."""
    threading.excepthook = _in_a_thread
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        _end(f"error: {error}", 1)
    except BrokenPipeError:
        if not _unread():  # it was another pipe: an environment's, a worker's
            _end(traceback.format_exc().rstrip(), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would raise again
        sys.exit(141)
    except KeyboardInterrupt:
        _end("interrupted; the same command goes on from the last checkpoint", 130)
    except Exception as error:
        fault = _disk_fault(error) or _memory_fault(error)
        _end(f"error: {fault}" if fault else traceback.format_exc().rstrip(), 1)


def _in_a_thread(failed: threading.ExceptHookArgs) -> None:
    """A full disk is told by the thread that waits for this one, such as TensorBoard's."""
    if failed.exc_value is None or _disk_fault(failed.exc_value) is None:
        threading.__excepthook__(failed)


def _disk_fault(error: BaseException) -> str | None:
    """What a disk that takes no more, or forbids it, made of any library; None if the error is another one."""
    reasons = [os.strerror(number) for number in DISK_FAULTS]
    chain: BaseException | None = error
    while chain is not None:
        text = str(chain)
        reason = next((reason for reason in reasons if reason in text), None)
        if reason is None and isinstance(chain, sqlite3.OperationalError) and "disk" in text:
            reason = text  # of DVC's and dvclive's index
        if reason is not None:
            file = getattr(chain, "filename", None) or "a file could not be written"
            return f"{file}: {reason}; with that mended, the same command goes on from the last checkpoint"
        chain = chain.__cause__ or chain.__context__
    return None


def _memory_fault(error: BaseException) -> str | None:
    """What a want of memory made of any library; None if the error is another one."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, MemoryError) or any(words in str(chain) for words in _MEMORY_FAULTS):
            where = [f" in {Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(chain.__traceback__)]
            return f"not enough memory{''.join(where[-1:])}: {one_line(chain)}"
        chain = chain.__cause__ or chain.__context__
    return None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A disk that takes no more does not say whose write failed: the error gets the name of the file or folder."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FAULTS and error.filename is None:
            error.filename = str(path)
        raise


def one_line(error: BaseException) -> str:
    """An exception's type and text, at most 300 characters on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300].removesuffix(":")


def _unread() -> bool:
    """Whether the reader of our output, such as `head`, has read enough."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False


def silence_destructors() -> None:
    """From here on, do not report errors in destructors: after a failure they would hide the first error."""
    sys.unraisablehook = lambda _: None


def _end(message: str, code: int) -> None:
    silence_destructors()
    print(message, file=sys.stderr)
    sys.exit(code)
