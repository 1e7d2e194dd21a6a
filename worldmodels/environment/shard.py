"""One HDF5 file of episodes: one dataset per field, all episodes' steps concatenated; `length` separates episodes."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from math import prod
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import psutil
from numpy.typing import NDArray

from worldmodels.common.checkpoint import write_bytes
from worldmodels.common.params import UserError
from worldmodels.records import Episode

FRAMES_PER_CHUNK = 32  # one compressed block: adjacent frames share most of their pixels; a block is read as a whole
_ROWS_PER_CHUNK = 4096
_STEP_FIELDS = ("action", "reward", "terminated", "truncated")
_NAME = h5py.string_dtype("utf-8", 64)
_SMALL = 2**26  # bytes that are read without a question


class DataError(UserError):
    """Episodes on disk that are missing, damaged, or do not belong together."""


def write_shard(path: Path, episodes: Iterable[Episode]) -> None:
    """Write episodes from an iterator, one in memory at a time beside the compressed file; it appears when it is whole.

    The same episodes give the same bytes.
    """
    content = BytesIO()  # on a full disk HDF5 would end the process
    with h5py.File(content, "w", libver="latest") as file:
        for episode in episodes:
            for name, rows in _columns(episode).items():
                _append(file, name, rows)
    write_bytes(path, content.getbuffer())


def read_shard(path: Path, indices: Iterable[int] | None = None) -> Iterator[Episode]:
    """The episodes of a shard, or those at ``indices``, one in memory at a time.

    Raises:
        DataError: by its shape an array is larger than free memory, as one of any size can be in a file of a few bytes.
    """
    with h5py.File(path) as file:
        lengths = _array(file, "length")
        steps = np.concatenate([[0], lengths.cumsum()])  # first step of each episode, and the end
        for i in range(len(lengths)) if indices is None else indices:
            rows = slice(steps[i], steps[i + 1])
            frames = slice(steps[i] + i, steps[i + 1] + i + 1)  # each earlier episode has one more observation
            yield Episode(
                obs=_array(file, "obs", frames),
                truth=_array(file, "truth", frames) if "truth" in file else None,
                **{name: _array(file, name, rows) for name in _STEP_FIELDS},
                seed=int(_array(file, "seed", i)),
                policy=_array(file, "policy", i).item().decode(),
            )


def read_field(path: Path, name: str) -> NDArray:
    """One whole field of a shard: ``length``, ``seed``, ``policy``, ``reward``, …

    Raises:
        DataError: as ``read_shard``.
    """
    with h5py.File(path) as file:
        return _array(file, name)


def open_frames(path: Path) -> h5py.Dataset:
    """The observations of a shard, to be read in chunks; the file stays open as long as the dataset is referenced."""
    frames = h5py.File(path, rdcc_nbytes=0)["obs"]  # no cache: each open file would hold megabytes of chunks
    assert isinstance(frames, h5py.Dataset)
    _check_room(frames, 0)
    return frames


def _columns(episode: Episode) -> dict[str, NDArray]:
    steps = {name: getattr(episode, name) for name in _STEP_FIELDS}
    known = {} if episode.truth is None else {"truth": episode.truth}
    return {
        "obs": episode.obs,
        **known,
        **steps,
        "length": np.array([len(episode)], np.int64),
        "seed": np.array([episode.seed], np.int64),
        "policy": np.array([episode.policy], _NAME),
    }


def _append(file: h5py.File, name: str, rows: NDArray) -> None:
    if name not in file:
        per_chunk = FRAMES_PER_CHUNK if rows.ndim == 4 else _ROWS_PER_CHUNK
        shape = rows.shape[1:]
        kind = _NAME if name == "policy" else rows.dtype
        file.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(per_chunk, *shape),
            dtype=kind,
            track_times=False,  # no timestamps in the file
            **hdf5plugin.Zstd(clevel=3),
        )
    dataset = file[name]
    assert isinstance(dataset, h5py.Dataset)
    end = dataset.shape[0]
    dataset.resize(end + len(rows), axis=0)
    dataset[end:] = rows


def _array(file: h5py.File, name: str, rows: int | slice = slice(None)) -> NDArray:
    dataset = file[name]
    assert isinstance(dataset, h5py.Dataset)
    _check_room(dataset, len(range(*rows.indices(len(dataset)))) if isinstance(rows, slice) else 1)
    return np.asarray(dataset[rows])


def _check_room(dataset: h5py.Dataset, rows: int) -> None:
    """Raise a DataError if that many rows, or a chunk, which is read as a whole, do not fit the memory."""
    values = max(rows * prod(dataset.shape[1:]), prod(dataset.chunks or ()))
    size = values * dataset.dtype.itemsize
    if size > _SMALL and size > (free := psutil.virtual_memory().available + psutil.swap_memory().free):
        name = f"{dataset.file.filename}: {str(dataset.name).lstrip('/')}"
        raise DataError(f"{name} would take {size >> 20:,} MiB of memory, of which {free >> 20:,} are free")
