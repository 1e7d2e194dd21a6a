"""Named random streams: (run seed, purpose, …) determines the generator.

No module draws from a global generator. Environment seeds are drawn from disjoint blocks, one per role: no evaluation
episode is used for collecting, searching or selecting.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_BLOCK = 2**27  # seeds per role; Gymnasium's generators accept any of them, ALE takes them modulo 2^31


class Role(IntEnum):
    """The purpose of an environment seed; one block of seeds each."""

    EVALUATE = 0
    COLLECT = 1
    FITNESS = 2
    VALIDATE = 3
    CHECK = 4


def stream_seed(seed: int, *path: str | int) -> int:
    """The 63-bit seed of the stream named by ``path`` under the run's ``seed``; stable across platforms."""
    digest = hashlib.sha256(repr((seed, *path)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_rng(seed: int, *path: str | int) -> np.random.Generator:
    """NumPy generator of the stream named by ``path``."""
    return np.random.default_rng(stream_seed(seed, *path))


def torch_rng(seed: int, *path: str | int) -> "torch.Generator":
    """Torch generator, on the CPU, of the stream named by ``path``."""
    import torch  # imported late: not all users of this module need it

    return torch.Generator().manual_seed(stream_seed(seed, *path))


@contextmanager
def torch_init(seed: int, *path: str | int) -> Iterator[None]:
    """Layers created inside get their initial weights from the named stream; the global generator is unaffected."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, *path))
        yield


def env_seeds(role: Role, count: int, seed: int = 0, *path: str | int) -> list[int]:
    """``count`` distinct environment seeds of a role.

    Evaluation seeds are the same for every run (0, 1, 2, …), so that scores of different runs are comparable; the other
    roles' seeds depend on the run's ``seed`` and on ``path``.

    Raises:
        ValueError: ``count`` exceeds the size of a block.
    """
    if not 0 <= count <= _BLOCK:
        raise ValueError(f"count = {count}: a role has {_BLOCK} seeds")
    first = 0 if role is Role.EVALUATE else stream_seed(seed, role.name, *path) % _BLOCK
    return [role * _BLOCK + (first + i) % _BLOCK for i in range(count)]
