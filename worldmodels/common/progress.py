"""Progress bars: silent where there is no terminal to see them."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any


def progress_bar(iterable: Iterable | None = None, **options: Any) -> Any:
    """``tqdm(iterable, …)`` as the whole project has it; nothing at all where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return nullcontext(_Silent()) if iterable is None else iterable
    return tqdm(iterable, disable=None, leave=False, **options)


class _Silent:
    def update(self, n: int = 1) -> None:
        pass
