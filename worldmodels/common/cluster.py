"""Tasks on a Ray cluster: on several machines, each of which may be lost on the way, but for this one.

The environment variable RAY_ADDRESS names the cluster; without it there is one of this machine alone, for as long as
this process lives. Ray is optional, and is imported only where it is used.
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

RETRIES = 3  # losses of a worker, or of its machine, that one task survives

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to nobody
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # nor does it pack up the project because uv started it


class TaskLostError(Exception):
    """The cluster cannot bring a task to its end."""


def check() -> None:
    """Find out whether there is a cluster to be had.

    Raises:
        ParamError: Ray is not installed.
        UserError: nobody answers at RAY_ADDRESS.
    """
    _ray()
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        place = urlsplit(f"//{address}")
        if place.port:  # Ray itself would try for many minutes
            socket.create_connection((place.hostname, place.port), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from None


def run(function: Callable[[T], R], tasks: Sequence[T], *, workers: int, timeout: float) -> Iterator[R]:
    """``function`` of every task, results in the order of the tasks.

    The function is sent to the cluster once. Workers import code from this process's working folder first, so that it
    is this checkout's; other machines need to see that folder under the same path.

    Args:
        workers: tasks at a time; 0: as many as the cluster has CPUs.
        timeout: seconds to wait for a result that is due.

    Raises:
        TaskLostError: a worker died, ``RETRIES`` times again.
        TimeoutError: no result in time.
        ParamError, UserError: as ``check``.
    """
    ray = _connected(workers)
    # where all CPUs are ours, as many again wait for their turn, so that no CPU waits for us
    limit = workers or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    todo, running = iter(tasks), []
    results = deque()  # of all tasks that were begun and not yet given out, in order
    try:
        shared = ray.put(function)  # owned by this process, so that no other machine's end is its end
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
    except ray.exceptions.RayTaskError as error:  # Ray's wrapping of what the function raised
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise TaskLostError(f"{type(error).__name__}: {error}") from error
    finally:
        for result in running if ray.is_initialized() else ():  # it is not where this process is at its end
            ray.cancel(result, force=True)  # the worker is killed: it may hang


def _connected(workers: int) -> ModuleType:
    ray = _ray()
    if not ray.is_initialized():
        check()
        address = os.environ.get("RAY_ADDRESS") or "local"  # not what some other program has left running here
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


@cache  # every remote function that is made is sent to the cluster
def _remote() -> Any:
    return _ray().remote(num_cpus=1, max_retries=RETRIES)(_call)


def _call(function: Callable[[T], R], task: T) -> R:
    return function(task)


def _no_cluster(address: str, error: Exception) -> UserError:
    return UserError(
        f"RAY_ADDRESS = '{address}': no Ray cluster there; expected HOST:PORT of its head,"
        f" and RAY_AUTH_MODE=token where it asks for a token ({' '.join(str(error).split())[:200]})"
    )
