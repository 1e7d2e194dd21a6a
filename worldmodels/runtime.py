"""Where and with how many hands the work is done: nothing here changes a result, or makes one stale."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeVar, cast

import torch
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from worldmodels.params import Natural, ParamError, Positive, UserError, settings

T = TypeVar("T")
R = TypeVar("R")

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # environments draw off screen; no display server is needed
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


class WorkerError(UserError):
    """A worker process died or did not answer in time."""


@settings
class RuntimeConfig:
    """The machine's part of the parameters.

    Attributes:
        device: where V, M and the dream run; ``auto`` takes cuda, then cpu.
        workers: worker processes for environments; 0 is one per core.
        backend: joblib's backend.
        task_timeout: seconds after which a task without an answer is an error.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Natural = 0
    backend: Literal["loky", "threading"] = "loky"
    task_timeout: Positive = 3600.0

    def torch_device(self) -> torch.device:
        """The device to use.

        Raises:
            ParamError: an accelerator that this machine lacks was asked for.
        """
        available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.device == "auto":
            return torch.device("cuda" if available["cuda"] else "cpu")
        if not available[self.device]:
            here = ", ".join(name for name, there in available.items() if there)
            raise ParamError(f"runtime.device = '{self.device}': this machine has none; accepted here: auto, {here}")
        return torch.device(self.device)

    def worker_count(self) -> int:
        """Number of worker processes, at least one."""
        return self.workers or os.cpu_count() or 1


def run_tasks(
    function: Callable[[T], R], tasks: Sequence[T], runtime: RuntimeConfig, *, desc: str, unit: str = "task"
) -> Iterator[R]:
    """``function`` of every task, in worker processes, results in the order of the tasks.

    A task is computed with one thread wherever it runs, so its result does not depend on the number of workers.

    Args:
        function: a module-level function: workers are spawned, not forked.
        tasks: picklable arguments. Make one task many episodes: handing one over costs milliseconds.

    Raises:
        WorkerError: a worker died, or gave no answer within ``runtime.task_timeout``.
    """
    workers = min(runtime.worker_count(), len(tasks)) or 1
    parallel = Parallel(
        n_jobs=workers,
        backend=runtime.backend,
        timeout=runtime.task_timeout if workers > 1 else None,  # in this process there is nobody to wait for
        return_as="generator",
        pre_dispatch="2*n_jobs",
        max_nbytes=None,
    )
    jobs: Iterable = (delayed(_single_threaded)(function, task) for task in tasks)
    try:
        results = cast(Iterator[R], parallel(jobs))
        yield from tqdm(results, total=len(tasks), desc=desc, unit=unit, disable=None, leave=False)
    except (TimeoutError, multiprocessing.TimeoutError):
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise WorkerError(
            f"{desc}: no answer from a worker in runtime.task_timeout = {runtime.task_timeout:g} s"
        ) from None
    except BrokenProcessPool as error:
        raise WorkerError(f"{desc}: a worker process died ({' '.join(str(error).split())[:200]})") from None


def _single_threaded(function: Callable[[T], R], task: T) -> R:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(task)
    finally:
        torch.set_num_threads(threads)
