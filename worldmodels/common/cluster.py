"""Tasks on a Ray cluster of one or more machines, any of which may be lost during a run, except this one.

The environment variable RAY_ADDRESS names the cluster; without it a cluster of this machine alone is started for the
lifetime of this process. Ray is optional and imported only where it is used.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from worldmodels.common.params import ParamError, UserError

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3  # times that one task is run again after the loss of its worker or machine

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # do not package the project because it was started by uv


class TaskLostError(Exception):
    """The cluster could not complete a task."""


def check() -> None:
    """Check that a cluster is available.

    Raises:
        ParamError: Ray is not installed.
        UserError: no cluster answers at RAY_ADDRESS.
    """
    _ray()
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        place = urlsplit(f"//{address}")
        if place.port:  # Ray itself would retry for many minutes
            socket.create_connection((place.hostname, place.port), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from None


def run(function: Callable[[T], R], tasks: Sequence[T], *, workers: int, timeout: float) -> Iterator[R]:
    """Apply ``function`` to every task; results are in the order of the tasks.

    The function is sent to the cluster once. Workers put this process's working folder first on their import path, so
    that they use this checkout; other machines need that folder under the same path.

    Args:
        workers: concurrent tasks; 0: as many as the cluster has CPUs.
        timeout: seconds to wait for the next result.

    Raises:
        TaskLostError: a worker died, also in each of ``RETRIES`` retries.
        TimeoutError: no result in time.
        ParamError, UserError: as ``check``.
    """
    ray = _connected(workers)
    # with ``workers`` 0 one more task per CPU is queued, so that no CPU waits for this process
    limit = workers or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    todo, running = iter(tasks), []
    results = deque()  # submitted tasks whose results were not yet yielded, in order
    try:
        shared = ray.put(function)  # owned by this process, so that it survives the loss of another machine
        for _ in tasks:
            deadline = time.monotonic() + timeout
            while True:
                begun = [_remote().remote(shared, task) for task in islice(todo, limit - len(running))]
                running += begun
                results += begun
                if results[0] not in running:
                    break
                done, running = ray.wait(running, timeout=max(0.0, deadline - time.monotonic()))
                if not done:
                    raise TimeoutError
            yield ray.get(results.popleft())
    except ray.exceptions.RayTaskError as error:  # Ray's wrapper of the exception that the function raised
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise TaskLostError(f"{type(error).__name__}: {error}") from error
    finally:
        for result in running if ray.is_initialized() else ():  # Ray is already shut down while this process exits
            ray.cancel(result, force=True)  # kills the worker process, which may hang


def _connected(workers: int) -> ModuleType:
    ray = _ray()
    if not ray.is_initialized():
        check()
        address = os.environ.get("RAY_ADDRESS") or "local"  # never a cluster that another program started here
        try:
            ray.init(
                address,
                num_cpus=workers or None if address == "local" else None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise _no_cluster(address, error) from None
    return ray


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise ParamError(
            "runtime.backend = 'ray': Ray is not installed; accepted here: loky, threading;"
            " `uv sync --extra ray` installs it"
        ) from None
    return ray


@cache  # Ray sends every new remote function to the cluster
def _remote() -> Any:
    return _ray().remote(num_cpus=1, max_retries=RETRIES)(_call)


def _call(function: Callable[[T], R], task: T) -> R:
    return function(task)


def _no_cluster(address: str, error: Exception) -> UserError:
    return UserError(
        f"RAY_ADDRESS = '{address}': no Ray cluster there; expected HOST:PORT of its head,"
        f" and RAY_AUTH_MODE=token where it asks for a token ({' '.join(str(error).split())[:200]})"
    )
