"""Error handling of programs: one line for a user error, a traceback for any other, and no output after it."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from worldmodels.common.params import UserError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Exit with code 1 on an error, 130 on Ctrl-C, with the reason on stderr, and 141 if nobody reads our output."""
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
    except Exception:
        _end(traceback.format_exc().rstrip(), 1)


def one_line(error: Exception) -> str:
    """An exception's type and text, at most 300 characters on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


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
