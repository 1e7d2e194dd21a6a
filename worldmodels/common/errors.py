"""How a program fails: a mistake of the user's is one line, anything else a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from worldmodels.common.params import UserError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line on stderr and exit code 1 on a ``UserError``, with 130 on Ctrl-C."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
