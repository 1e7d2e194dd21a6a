"""Timing of several implementations of one task, in alternation."""

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch

try:
    import psutil
except ModuleNotFoundError:  # on a machine with only torch and numpy, other load is not measured
    psutil = None

Way = Callable[[], float]
"""Does a piece of work and returns how many units it was."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of the table. Rates are medians over the repeats, in ``unit``.

    Attributes:
        stock: torch's own layers at the same batch and precision, on torch's default number of threads.
        ratio: ours to naive; for ``cma`` its share of a dream generation. stock_ratio: ours to stock.
        fraction_of_limit: ours to limit.
        spread: of each way, (largest - smallest) / median.
        other_load: cores that other processes used on average; None if unknown.
        note: the compared implementations.
    """

    path: str
    ours: float
    naive: float | None
    limit: float | None
    ratio: float | None
    fraction_of_limit: float | None
    unit: str
    stock: float | None = None
    stock_ratio: float | None = None
    note: str = ""
    spread: dict[str, float] = field(default_factory=dict)
    other_load: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(path: str, ways: Mapping[str, Way], *, unit: str, note: str = "", repeats: int = 5) -> Result:
    """Time ``ours``, ``stock``, ``naive`` and ``limit`` in turn, ``repeats`` times, after one warm-up of each."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for work in ways.values():
        work()
    load = Load()
    for _ in range(repeats):
        for name, work in ways.items():
            rates[name].append(rate(work))
    middle = {name: median(values) for name, values in rates.items()}
    return row(
        path,
        middle["ours"],
        middle.get("naive"),
        middle.get("limit"),
        middle.get("stock"),
        unit=unit,
        note=note,
        spread={name: (max(values) - min(values)) / middle[name] for name, values in rates.items()},
        other_load=load.of_others(),
    )


def row(
    path: str, ours: float, naive: float | None, limit: float | None, stock: float | None = None, **rest: Any
) -> Result:
    """A ``Result`` with its ratios."""
    rates = {"ours": ours, "naive": naive, "limit": limit, "stock": stock}
    ratio, fraction, stock_ratio = (ours / other if other else None for other in (naive, limit, stock))
    return Result(path=path, ratio=ratio, fraction_of_limit=fraction, stock_ratio=stock_ratio, **rates, **rest)


def rate(work: Way) -> float:
    """Units per second of one call."""
    gc.collect()
    started = time.perf_counter()
    units = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return units / (time.perf_counter() - started)


class Load:
    """CPU time of other processes since this object was created."""

    def __init__(self) -> None:
        self._busy, self._own, self._since = _busy(), _own(), time.monotonic()

    def of_others(self) -> float | None:
        """Cores used by other processes on average, including time stolen by other guests of the host."""
        if psutil is None:
            return None
        wall = time.monotonic() - self._since
        return max(0.0, (_busy() - self._busy - (_own() - self._own)) / wall)


def _busy() -> float:
    """CPU seconds of the whole machine that were not idle."""
    if psutil is None:
        return 0.0
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def _own() -> float:
    """CPU seconds of this process and its children, running and terminated."""
    if psutil is None:
        return 0.0
    here = psutil.Process()
    mine = [here, *here.children(recursive=True)]
    times = [process.cpu_times() for process in mine if process.is_running()]
    return sum(sum(one[:4]) if os.name == "posix" else one.user + one.system for one in times)


def matrix_products(flop_per_unit: float, dtype: torch.dtype, device: torch.device, size: int = 2048) -> Way:
    """The limit for code that multiplies matrices: large products alone; a unit is ``flop_per_unit`` FLOP."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    products = 10 if device.type == "cpu" else 1000

    def work() -> float:
        for _ in range(products):
            torch.mm(a, b)
        return products * 2.0 * size**3 / flop_per_unit

    return work


def beside_products(
    path: str,
    ours: Way,
    stock: Way,
    naive: Way,
    flop: float,
    dtype: torch.dtype,
    device: torch.device,
    note: str,
    **rest: Any,
) -> Result:
    """``compare`` with a limit of matrix products in ``dtype``, ``flop`` per unit."""
    ways = {"ours": ours, "stock": stock, "naive": naive, "limit": matrix_products(flop, dtype, device)}
    note = f"{str(dtype).removeprefix('torch.')}{note}; matrix products alone"
    return compare(path, ways, note=note, **rest)


def apart(make: Callable[..., Way], *arguments: Any) -> Way:
    """The way that ``make`` returns, run in its own process with separate memory and threads."""
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (make, *arguments))
    return lambda: pool.submit(_go_on).result()


_apart: list[Way] = []  # in such a process: its way


def _begin(make: Callable[..., Way], *arguments: Any) -> None:
    _apart.append(make(*arguments))


def _go_on() -> float:
    return _apart[0]()


def single_threaded(work: Way) -> Way:
    """The same on one thread, which is faster for small operations."""

    def alone() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return work()
        finally:
            torch.set_num_threads(threads)

    return alone
