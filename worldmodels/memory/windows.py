"""Windows of recorded episodes for truncated backpropagation through time; no window crosses the end of an episode.

Each member has its own lanes. A lane reads episodes window by window, so that the recurrent state can be carried from
window to window; at the end of an episode it takes the next in its member's endless shuffled order, so every lane is
used in every batch. Only the rows of the batch are read from the store.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.device import upload
from worldmodels.common.seeding import numpy_rng
from worldmodels.vision.base import sample_z
from worldmodels.vision.latents import LatentStore


class LatentBatch(NamedTuple):
    """Windows of E members' B lanes; past an episode's end the last step is repeated and masked.

    Attributes:
        z, z_next: (E, B, L, Z), drawn from the posterior. z_seen: what M is shown of z: z itself, or z with noise.
        action: (E, B, L, A). reward: (E, B, L), unscaled.
        terminated, mask: (E, B, L) bool; mask is False past the end of the episode.
        fresh: (E, B) bool: the window is its lane's first or follows the end of an episode; its recurrent state is
            zero.
    """

    z: Tensor
    z_next: Tensor
    z_seen: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    mask: Tensor
    fresh: Tensor

    def to(self, device: torch.device) -> "LatentBatch":
        """The batch on ``device``."""
        return LatentBatch(*(upload(tensor, device) for tensor in self))

    def with_noise(self, std: Tensor, rng: np.random.Generator) -> "LatentBatch":
        """The same steps, with Gaussian noise of standard deviation ``std`` (Z,) on what M is shown of z."""
        noise = torch.from_numpy(rng.standard_normal(self.z.shape, dtype=np.float32))
        return self._replace(z_seen=self.z + std * noise.to(self.z.device))


def gather(
    store: LatentStore,
    episode: NDArray,
    offset: NDArray,
    sequence_length: int,
    rng: np.random.Generator,
    fresh: NDArray,
) -> LatentBatch:
    """The windows of ``sequence_length`` steps that begin at step ``offset`` (E, B) of ``episode`` (E, B)."""
    lengths = store.lengths[episode][..., None]  # (E, B, 1)
    steps = offset[..., None] + np.arange(sequence_length)  # (E, B, L)
    row = store.step_offset[episode][..., None] + np.minimum(steps, lengths - 1)
    seen = np.concatenate((np.minimum(steps, lengths), np.minimum(steps[..., -1:] + 1, lengths)), -1)  # (E, B, L+1)
    z = _draw_z(store, store.obs_offset[episode][..., None] + seen, rng)  # (E, B, L+1, Z)
    return LatentBatch(
        z=z[:, :, :-1],
        z_next=z[:, :, 1:],
        z_seen=z[:, :, :-1],
        action=_rows(store.action, row),
        reward=_rows(store.reward, row),
        terminated=_rows(store.terminated, row),
        mask=torch.from_numpy(steps < lengths),
        fresh=torch.from_numpy(fresh),
    )


def _draw_z(store: LatentStore, row: NDArray, rng: np.random.Generator) -> Tensor:
    mu, logvar = _rows(store.mu, row), _rows(store.logvar, row)
    noise = torch.from_numpy(rng.standard_normal((*row.shape, store.z_dim), dtype=np.float32))
    return sample_z(mu, logvar, upload(noise, mu.device))


def _rows(column: NDArray | Tensor, row: NDArray) -> Tensor:
    """Rows of a column that is memory-mapped, or in the memory of a device."""
    if isinstance(column, Tensor):
        return column[upload(torch.from_numpy(row), column.device)]
    return torch.from_numpy(column[row])


def resident(store: LatentStore, device: torch.device) -> LatentStore:
    """The same store with its columns as tensors in the memory of ``device``, to draw windows from."""
    moved = copy.copy(store)
    for name in ("mu", "logvar", "action", "reward", "terminated", "truncated"):
        setattr(moved, name, torch.tensor(getattr(store, name), device=device))
    return moved


class Lanes:
    """The endless sequence of training batches.

    Each lane begins at a random window in an episode, so that lanes are not synchronised.

    Args:
        episodes: indices of the episodes to read.
        ensemble_size, lanes, sequence_length: E, B, L.
        stream: names the random stream.
    """

    def __init__(
        self,
        store: LatentStore,
        episodes: NDArray,
        ensemble_size: int,
        lanes: int,
        sequence_length: int,
        stream: Sequence[Any],
    ) -> None:
        self._store, self._episodes, self._stream = store, episodes, tuple(stream)
        self._sequence_length = sequence_length
        self._orders: dict[tuple[int, int], NDArray] = {}
        self._drawn = np.zeros(ensemble_size, np.int64)
        self._batches = 0
        self._episode = np.array([[self._draw(e) for _ in range(lanes)] for e in range(ensemble_size)])  # (E, B)
        windows = -(-store.lengths[self._episode] // sequence_length)
        self._offset = sequence_length * numpy_rng(*stream, "memory-first-window").integers(windows)
        self._fresh = np.ones_like(self._offset, bool)

    @property
    def batches_per_epoch(self) -> int:
        """Batches after which every member has read as many windows as the episodes contain."""
        windows = int((-(-self._store.lengths[self._episodes] // self._sequence_length)).sum())
        return -(-windows // self._episode.shape[1])

    def next(self) -> LatentBatch:
        """The next batch."""
        rng = numpy_rng(*self._stream, "memory-z", self._batches)
        batch = gather(self._store, self._episode, self._offset, self._sequence_length, rng, self._fresh)
        self._batches += 1
        self._advance()
        return batch

    def state(self) -> dict[str, Any]:
        """The state that ``resume`` needs."""
        arrays = {"drawn": self._drawn, "episode": self._episode, "offset": self._offset, "fresh": self._fresh}
        return {"batches": self._batches} | {name: array.copy() for name, array in arrays.items()}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._batches = state["batches"]
        self._drawn, self._episode = state["drawn"].copy(), state["episode"].copy()
        self._offset, self._fresh = state["offset"].copy(), state["fresh"].copy()

    def _advance(self) -> None:
        self._offset = self._offset + self._sequence_length
        self._fresh = self._offset >= self._store.lengths[self._episode]
        for e, b in np.argwhere(self._fresh):
            self._episode[e, b] = self._draw(e)
        self._offset[self._fresh] = 0

    def _draw(self, member: int) -> int:
        """The next episode of a member's endless order: one permutation of the episodes after another."""
        lap, place = divmod(int(self._drawn[member]), len(self._episodes))
        self._drawn[member] += 1
        if (member, lap) not in self._orders:
            order = numpy_rng(*self._stream, "memory-order", int(member), lap).permutation(self._episodes)
            self._orders = {key: kept for key, kept in self._orders.items() if key[0] != member}
            self._orders[member, lap] = order
        return int(self._orders[member, lap][place])


def walk_through(
    store: LatentStore, episodes: NDArray, lanes: int, sequence_length: int, stream: Sequence[Any]
) -> Iterator[LatentBatch]:
    """All windows of ``episodes`` once, in a fixed order, E = 1: ``lanes`` episodes in parallel, longest first.

    Carry the state from batch to batch except where ``fresh``; a group of episodes begins fresh.
    """
    order = episodes[np.argsort(-store.lengths[episodes], kind="stable")]
    for number, group in enumerate(np.split(order, range(lanes, len(order), lanes))):
        rng = numpy_rng(*stream, "memory-walk", number)
        for start in range(0, int(store.lengths[group[0]]), sequence_length):
            offset = np.full((1, len(group)), start)
            fresh = np.full((1, len(group)), start == 0)
            yield gather(store, group[None], offset, sequence_length, rng, fresh)
