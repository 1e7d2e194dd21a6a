"""Data-parallel training on a CPU: batch shards run concurrently, one thread each, in memory that the process keeps.

Two threads that share every small operation synchronise hundreds of times an update, and with another busy process each
wait can last a time slice; threads that each process a shard of the batch synchronise once an update.
"""

import ctypes
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

Map = Callable[[Callable, Iterable], Iterator]
"""As ``map``: a function's results in the order of the shards."""

ROWS = 16  # minimum rows of a shard: each shard reads all weights, so smaller shards are slower
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # from glibc's malloc.h


def shard_sizes(batch: int, device: torch.device) -> list[int]:
    """Rows of each shard of a batch; on an accelerator there is one shard.

    On a CPU there is one shard per core, whatever number of threads is allowed, so that a machine always gives the same
    bytes.
    """
    count = min(os.cpu_count() or 1, max(1, batch // ROWS)) if device.type == "cpu" else 1
    return [batch * (i + 1) // count - batch * i // count for i in range(count)]


@contextmanager
def shard_map(device: torch.device) -> Iterator[Map]:
    """A ``map`` that processes as many shards concurrently as torch had threads; inside it torch uses one thread.

    On an accelerator it is ``map`` itself.
    """
    if device.type != "cpu":
        yield map
        return
    keep_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


def keep_memory() -> bool:
    """Make this process keep freed memory for its next tensors; returns whether the platform supports it.

    By default glibc returns every large block to the system, and each new tensor costs a page fault per 4 KiB.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    return all(mallopt(name, value) for name, value in settings.items())
