"""Progress bars on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

LINE_EVERY = 30.0  # seconds, where output is no terminal


def progress_bar(iterable: Iterable | None = None, **options: Any) -> Any:
    """``tqdm(iterable, …)`` with the project's options; a no-op if tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return nullcontext(_Silent()) if iterable is None else iterable
    if sys.stderr.isatty():
        return tqdm(iterable, leave=False, **options)

    class Lines(tqdm):
        """A line for each refresh, and none when it ends."""

        monitor_interval = 0  # no thread that refreshes, too

        def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002
            if not self.disable and self.n != self.total and self.n > self.initial:
                print(msg or str(self), file=sys.stderr, flush=True)

        def set_postfix(self, **values: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().set_postfix(refresh=False, **values)

    return Lines(iterable, mininterval=LINE_EVERY, miniters=1, delay=LINE_EVERY, leave=False, **options)


class _Silent:
    def update(self, n: int = 1) -> None:
        pass

    def set_postfix(self, **values: float) -> None:
        pass
