"""Devices and worker processes. No setting here changes a result or makes a stage stale."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from worldmodels.common import cluster
from worldmodels.common.errors import silence_destructors
from worldmodels.common.orphans import end_with
from worldmodels.common.params import Natural, ParamError, Positive, UserError, settings
from worldmodels.common.progress import progress_bar

if TYPE_CHECKING:
    import torch

GRACE = 10.0  # seconds
_LONGEST = 1e6  # seconds that a timer takes

T = TypeVar("T")
R = TypeVar("R")

OFF_SCREEN = "SDL_VIDEODRIVER" not in os.environ
"""Whether it is chosen here that pygame draws off screen, so that environments need no display."""
if OFF_SCREEN:
    os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


class TaskTimeout(BaseException):
    """A task that has taken too long is interrupted. No ``Exception``: an environment might catch it."""


class WorkerError(UserError):
    """A worker process died or did not answer in time."""


@settings
class RuntimeConfig:
    """The machine-dependent parameters.

    Attributes:
        device: the device of V, M and the dream; ``auto`` is cuda if present, else cpu.
        workers: worker processes for environments; 0 is one per core, of the whole cluster with ``ray``.
        backend: ``loky``: processes of this machine; ``threading``: threads of this process; ``ray``: processes of a
            Ray cluster (``worldmodels.common.cluster``).
        task_timeout: seconds after which a task without a result is an error.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Natural = 0
    backend: Literal["loky", "ray", "threading"] = "loky"
    task_timeout: Positive = 3600.0

    def torch_device(self) -> "torch.device":
        """The device to use.

        Raises:
            ParamError: this machine does not have the requested accelerator.
        """
        import torch  # imported late: not every stage uses it

        available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.device == "auto":
            return torch.device("cuda" if available["cuda"] else "cpu")
        if not available[self.device]:
            here = ", ".join(name for name, there in available.items() if there)
            raise ParamError(f"runtime.device = '{self.device}': this machine has none; accepted here: auto, {here}")
        return torch.device(self.device)

    def check(self) -> None:
        """Check that the device and the backend are available, before any work is done.

        Raises:
            ParamError: this machine does not have the requested accelerator, or Ray is requested and not installed.
            UserError: no Ray cluster answers at RAY_ADDRESS.
        """
        if self.device not in ("auto", "cpu"):
            self.torch_device()
        if self.backend == "ray":
            cluster.check()

    def worker_count(self) -> int:
        """Number of worker processes on this machine, at least one."""
        return self.workers or os.cpu_count() or 1


def run_tasks(
    function: Callable[[T], R], tasks: Sequence[T], runtime: RuntimeConfig, *, desc: str, unit: str = "task"
) -> Iterator[R]:
    """Apply ``function`` to every task in worker processes; results are in the order of the tasks.

    Every task runs with one thread, so its result depends neither on the number of workers nor on the backend. On a
    cluster a task may run on another machine, and may run again after the loss of a machine: files it writes must be on
    a file system that all machines share, under an absolute path.

    Args:
        function: a module-level function, or a ``functools.partial`` of one: workers are spawned, not forked. Bind data
            that all tasks share to it; it is sent to a cluster once.
        tasks: picklable arguments. Put many episodes into one task: sending a task costs milliseconds.

    Raises:
        WorkerError: a worker died, or gave no result within ``runtime.task_timeout``.
        UserError: as ``runtime.check``.
    """
    if not tasks:
        return
    call = partial(_run_task, function, None if runtime.backend == "ray" else os.getpid())
    if runtime.backend == "ray":
        results = cluster.run(call, tasks, workers=runtime.workers, timeout=runtime.task_timeout)
    else:
        results = _on_this_machine(call, tasks, runtime)
    try:
        yield from progress_bar(results, total=len(tasks), desc=desc, unit=unit)
    except (TaskTimeout, TimeoutError, multiprocessing.TimeoutError):
        raise WorkerError(
            f"{desc}: no answer from a worker in runtime.task_timeout = {runtime.task_timeout:g} s"
        ) from None
    except (BrokenProcessPool, cluster.TaskLostError) as error:
        raise WorkerError(f"{desc}: a worker process died ({' '.join(str(error).split())[:200]})") from None


def _on_this_machine(function: Callable[[T], R], tasks: Sequence[T], runtime: RuntimeConfig) -> Iterator[R]:
    workers = min(runtime.worker_count(), len(tasks))
    if workers == 1 and threading.current_thread() is threading.main_thread():  # in this process
        function = partial(_within, runtime.task_timeout, function)
    parallel = Parallel(
        n_jobs=workers,
        backend=runtime.backend,
        timeout=runtime.task_timeout if workers > 1 else None,
        return_as="generator",
        pre_dispatch="2*n_jobs",
        max_nbytes=None,
    )
    jobs: Iterable = (delayed(function)(task) for task in tasks)
    try:
        yield from cast(Iterator[R], parallel(jobs))
    except (TimeoutError, multiprocessing.TimeoutError):
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise


def _within(seconds: float, function: Callable[[T], R], task: T) -> R:
    """``function(task)`` in this thread, the process's main one; a ``TaskTimeout`` after so many seconds.

    What does not return to the interpreter cannot be interrupted, and nothing can where there is no SIGALRM (Windows):
    ``GRACE`` seconds later the process ends. SIGINT would not do, which is ignored by what a shell runs in the
    background.
    """
    seconds, ended = min(seconds, _LONGEST), threading.Event()
    threading.Thread(target=_give_up, args=(seconds, ended), daemon=True).start()
    interrupts = hasattr(signal, "setitimer")
    before = signal.signal(signal.SIGALRM, _too_late) if interrupts else None
    try:
        if interrupts:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        return function(task)
    finally:
        if interrupts:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        ended.set()


def _too_late(*_: object) -> None:
    raise TaskTimeout


def _give_up(seconds: float, ended: threading.Event) -> None:
    if not ended.wait(seconds + GRACE):
        print(f"error: a task does not end after runtime.task_timeout = {seconds:g} s", file=sys.stderr, flush=True)
        os._exit(1)


def _run_task(function: Callable[[T], R], owner: int | None, task: T) -> R:
    if owner != os.getpid():
        _freeze_imports()
    if owner not in (None, os.getpid()):
        end_with(owner)
    try:
        with single_thread():
            return function(task)
    except Exception:
        silence_destructors()
        raise


@cache
def _freeze_imports() -> None:
    """Exclude what a worker has imported from garbage collection, which then takes a millisecond after each task."""
    gc.freeze()


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread inside torch's operations: for batches of a few rows more are slower, on a busy machine ten times."""
    torch = sys.modules.get("torch")  # a function that uses torch has imported it already
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
