"""How a program fails: a mistake of the user's is one line, anything else a traceback, and nothing follows it."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from worldmodels.common.params import UserError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with exit code 1 on an error, with 130 on Ctrl-C, and say why on stderr."""
    try:
        yield
    except UserError as error:
        _end(f"error: {error}", 1)
    except KeyboardInterrupt:
        _end("interrupted; the same command goes on from the last checkpoint", 130)
    except Exception:
        _end(traceback.format_exc().rstrip(), 1)


def silence_destructors() -> None:
    """From here on, errors in destructors are not reported: after a failure they would bury what went wrong first."""
    sys.unraisablehook = lambda _: None


def _end(message: str, code: int) -> None:
    silence_destructors()
    print(message, file=sys.stderr)
    sys.exit(code)
