"""Progress bars; disabled without a terminal."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any


def progress_bar(iterable: Iterable | None = None, **options: Any) -> Any:
    """``tqdm(iterable, …)`` with the project's options; a no-op if tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return nullcontext(_Silent()) if iterable is None else iterable
    return tqdm(iterable, disable=None, leave=False, **options)


class _Silent:
    def update(self, n: int = 1) -> None:
        pass
