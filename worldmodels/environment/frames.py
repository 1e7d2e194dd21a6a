"""Frame loader for training V: reads whole compressed chunks in shuffled order, for fast decoding in bounded memory."""

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.device import has_room
from worldmodels.common.seeding import numpy_rng
from worldmodels.environment.shard import FRAMES_PER_CHUNK, open_frames
from worldmodels.environment.store import EpisodeStore
from worldmodels.holdout import split_episodes
from worldmodels.records import FRAME_SHAPE

Frames = NDArray[np.uint8] | Tensor
_Open = Callable[[Path], h5py.Dataset]

_OPEN_FILES = 32  # of half a MiB each
_MEAN_CHUNKS = 256


class _Chunk(NamedTuple):
    """Position of a chunk's frames, and which of them are used."""

    path: Path
    start: int
    rows: NDArray[np.int64]


class FrameLoader:
    """Batches of uint8 frames (B, 64, 64, 3) from a store of pixel episodes, split by episode.

    An epoch yields every training frame once. Chunks of 32 consecutive frames are read in shuffled order, and
    ``buffer_chunks`` of them at a time are shuffled together, frame by frame; this buffer determines the memory used
    (256 chunks: 100 MB). The order depends only on the seed and the epoch, so an epoch can be resumed at any batch. On
    an accelerator with room for all training frames they are decoded once and kept there: the same batches, as tensors
    in its memory.

    Attributes:
        batches_per_epoch: the last one may be short.
        frames: number of training frames.
        mean_frame: (64, 64, 3) uint8, mean of up to 8192 training frames from all of the data.
    """

    def __init__(
        self,
        store: EpisodeStore,
        *,
        batch_size: int = 100,
        seed: int = 0,
        buffer_chunks: int = 256,
        device: torch.device | None = None,
    ) -> None:
        train, validation = split_episodes(len(store), seed)
        self._train = _chunks(store, train)
        self._validation = _chunks(store, validation)
        self._batch_size, self._seed, self._buffer_chunks = batch_size, seed, buffer_chunks
        self.frames = int((store.lengths[train] + 1).sum())
        self.batches_per_epoch = -(-self.frames // batch_size)
        self._open = lru_cache(_OPEN_FILES)(open_frames)  # a file that is evicted is closed with its last reference
        self._device = device if device and has_room(self.frames * prod(FRAME_SHAPE), device) else None

    def train_batches(self, epoch: int, start: int = 0) -> Iterator[Frames]:
        """The batches of an epoch from number ``start`` on, identical to those of a full epoch."""
        return _joined(self._shuffled(epoch, start * self._batch_size), self._batch_size)

    def validation_batches(self) -> Iterator[NDArray[np.uint8]]:
        """All frames of the held-out episodes, in the store's order."""
        reader = _Reader(self._open, capacity=1)
        return _joined((reader.read([chunk]).copy() for chunk in self._validation), self._batch_size)

    @property
    def mean_frame(self) -> NDArray[np.uint8]:
        total, count = np.zeros(FRAME_SHAPE, np.int64), 0
        for frames in self._sampled():
            total, count = total + frames.sum(0, dtype=np.int64), count + len(frames)
        return np.rint(total / count).astype(np.uint8)

    def mean_distance(self, mean_frame: NDArray) -> NDArray[np.float64]:
        """(64, 64), mean over the same frames of the largest distance of a pixel's channels from ``mean_frame``."""
        total, count, ground = np.zeros(FRAME_SHAPE[:2]), 0, mean_frame.astype(np.float32)
        for frames in self._sampled():
            total, count = total + np.abs(frames - ground).max(-1).sum(0), count + len(frames)
        return total / count

    def _sampled(self) -> Iterator[NDArray[np.uint8]]:
        """Up to ``_MEAN_CHUNKS`` chunks from all of the data, one after the other in the same memory."""
        reader = _Reader(self._open, capacity=1)
        for i in np.linspace(0, len(self._train) - 1, min(len(self._train), _MEAN_CHUNKS)).astype(int):
            yield reader.read([self._train[i]])

    @cached_property
    def _resident(self) -> "_Resident | None":
        return None if self._device is None else _Resident(self._open, self._train, self._device)

    def _shuffled(self, epoch: int, start: int) -> Iterator[Frames]:
        """The epoch's frames from number ``start`` on, in pieces that end where a batch or a buffer ends."""
        order = numpy_rng(self._seed, "frames", epoch).permutation(len(self._train))
        reader, first, size = self._resident or _Reader(self._open, self._buffer_chunks), 0, self._batch_size
        for buffer in range(0, len(order), self._buffer_chunks):
            chunks = [self._train[i] for i in order[buffer : buffer + self._buffer_chunks]]
            end = first + sum(len(chunk.rows) for chunk in chunks)
            if end > start:  # a buffer that is skipped as a whole is not decoded
                frames = reader.read(chunks)
                within = numpy_rng(self._seed, "frames", epoch, buffer).permutation(end - first)
                cuts = [max(start, first), *range((max(start, first) // size + 1) * size, end, size), end]
                for i, j in pairwise(cuts):
                    yield frames[within[i - first : j - first]]
            first = end


class _Reader:
    """Reads ``capacity`` chunks at a time into memory allocated once: page faults cost more than decompression."""

    def __init__(self, open_file: _Open, capacity: int) -> None:
        self._memory = np.empty((capacity * FRAMES_PER_CHUNK, *FRAME_SHAPE), np.uint8)
        self._open = open_file

    def read(self, chunks: list[_Chunk]) -> NDArray[np.uint8]:
        """The used frames of the chunks, concatenated; valid until the next ``read``."""
        end = 0
        for chunk in chunks:
            frames = self._open(chunk.path)
            stop = min(chunk.start + FRAMES_PER_CHUNK, len(frames))
            whole = self._memory[end : end + stop - chunk.start]
            frames.read_direct(whole, np.s_[chunk.start : stop])
            if len(chunk.rows) < len(whole):
                whole[: len(chunk.rows)] = whole[chunk.rows]
            end += len(chunk.rows)
        return self._memory[:end]


class _Resident:
    """All chunks, decoded once into the memory of a device."""

    def __init__(self, open_file: _Open, chunks: list[_Chunk], device: torch.device) -> None:
        reader = _Reader(open_file, capacity=1)
        ends = np.cumsum([len(chunk.rows) for chunk in chunks])
        self._places = {chunk[:2]: slice(end - len(chunk.rows), end) for chunk, end in zip(chunks, ends, strict=True)}
        self._frames = torch.empty((ends[-1], *FRAME_SHAPE), dtype=torch.uint8, device=device)
        for chunk in chunks:
            self._frames[self._places[chunk[:2]]] = torch.from_numpy(reader.read([chunk])).to(device)

    def read(self, chunks: list[_Chunk]) -> Tensor:
        """The used frames of the chunks, concatenated."""
        return torch.cat([self._frames[self._places[chunk[:2]]] for chunk in chunks])


def _chunks(store: EpisodeStore, episodes: NDArray[np.int64]) -> list[_Chunk]:
    """The chunks with a frame of these episodes. ``rows`` excludes the frames of other episodes in a chunk."""
    wanted = np.zeros(len(store), bool)
    wanted[episodes] = True
    found = []
    for path, lengths, mask in zip(store.shards, store.shard_lengths, store.per_shard(wanted), strict=True):
        frame_mask = np.repeat(mask, lengths + 1)
        for start in range(0, len(frame_mask), FRAMES_PER_CHUNK):
            rows = np.flatnonzero(frame_mask[start : start + FRAMES_PER_CHUNK])
            if len(rows):
                found.append(_Chunk(path, start, rows))
    return found


def _joined(pieces: Iterator[Any], size: int) -> Iterator[Any]:
    """The same frames in batches of ``size``; the last may be short."""
    parts: list[Any] = []
    missing = size
    for piece in pieces:
        rest = piece
        while len(rest) >= missing:
            yield _one([*parts, rest[:missing]])
            parts, rest, missing = [], rest[missing:], size
        if len(rest):
            parts, missing = [*parts, rest], missing - len(rest)
    if parts:
        yield _one(parts)


def _one(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)
