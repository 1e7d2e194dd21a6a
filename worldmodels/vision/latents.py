"""Encoded episodes on disk: plain .npy columns, all episodes concatenated, and a manifest.

    manifest.json   spec, source, counts, digest of every column
    mu.npy logvar.npy               (sum(T+1), Z) float32
    action.npy                      (sum(T), A) float32, encoded
    reward.npy                      (sum(T),) float32, unscaled
    terminated.npy truncated.npy    (sum(T),) bool
    lengths.npy                     (N,) int64, the T of each episode
    truth.npy                       (sum(T+1), G) float32, only if the environment has any

Columns are memory-mapped on reading and streamed on writing, so memory is bounded for runs of any length.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.checkpoint import file_digest, read_manifest, write_manifest
from worldmodels.common.errors import writing
from worldmodels.common.params import UserError
from worldmodels.records import LatentEpisode

MANIFEST = "manifest.json"
FORMAT = 1

_OBSERVATION_COLUMNS = ("mu", "logvar")
_STEP_COLUMNS = ("action", "reward", "terminated", "truncated")
_WIDE = ("mu", "logvar", "action", "truth")  # of two dimensions
_DTYPES: dict[str, type] = {
    "mu": np.float32,
    "logvar": np.float32,
    "action": np.float32,
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "lengths": np.int64,
    "truth": np.float32,
}


class LatentError(UserError):
    """A store of latents that is missing, damaged or empty."""


class LatentStore:
    """The encoded episodes of one run, read-only.

    Attributes:
        folder: its path.
        spec: the environment's description, as ``EnvSpec.to_dict`` gave it.
        source: digest of the encoded data and of V.
        lengths: (N,) int64, steps T of each episode.
        mu, logvar: (sum(T+1), Z) float32, memory-mapped, all episodes concatenated.
        truth: (sum(T+1), G) float32, what is known beside the observations; None if nothing is.
        action: (sum(T), A) float32. reward: (sum(T),) float32. terminated, truncated: (sum(T),) bool.
        obs_offset: (N+1,) int64: episode i has the rows obs_offset[i] to obs_offset[i+1] of mu; obs_offset[:-1] are the
            rows of the episodes' first observations.
        step_offset: (N+1,) int64: the same for the columns of steps.

    Raises:
        LatentError: the folder is not a store, or a column is missing or damaged; the message names it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = _read_manifest(folder)
        columns = {
            name: _open_column(folder, name, manifest["digests"])
            for name in _DTYPES
            if name != "truth" or "truth.npy" in manifest["digests"]
        }
        self.spec: dict[str, Any] = manifest["spec"]
        self.source: str = manifest["source"]
        self.mu, self.logvar = columns["mu"], columns["logvar"]
        self.truth: NDArray[np.float32] | None = columns.get("truth")
        self.action, self.reward = columns["action"], columns["reward"]
        self.terminated, self.truncated = columns["terminated"], columns["truncated"]
        self.lengths: NDArray[np.int64] = np.array(columns["lengths"])
        self.step_offset = np.concatenate([[0], np.cumsum(self.lengths)])
        self.obs_offset = self.step_offset + np.arange(len(self.lengths) + 1)

    def __len__(self) -> int:
        """Number of episodes, N."""
        return len(self.lengths)

    @property
    def z_dim(self) -> int:
        """Z."""
        return self.mu.shape[1]

    @property
    def action_dim(self) -> int:
        """A, of encoded actions."""
        return self.action.shape[1]

    @property
    def steps(self) -> int:
        """Total number of environment steps."""
        return int(self.step_offset[-1])

    def episode(self, index: int) -> LatentEpisode:
        """Episode ``index``, 0 ≤ index < N; its arrays are views of the files, not copies."""
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        seen = slice(*self.obs_offset[index : index + 2])
        acted = slice(*self.step_offset[index : index + 2])
        return LatentEpisode(
            mu=self.mu[seen],
            logvar=self.logvar[seen],
            action=self.action[acted],
            reward=self.reward[acted],
            terminated=self.terminated[acted],
            truncated=self.truncated[acted],
            truth=None if self.truth is None else self.truth[seen],
        )

    @property
    def nbytes(self) -> int:
        """Size of all columns, in bytes."""
        return sum(getattr(self, name).nbytes for name in (*_OBSERVATION_COLUMNS, *_STEP_COLUMNS))

    def episodes(self) -> Iterator[LatentEpisode]:
        """All episodes, in the order they were written."""
        return (self.episode(index) for index in range(len(self)))


class LatentWriter:
    """Writes a store one episode at a time, atomically: it appears at ``folder`` if the block succeeds.

    The bytes depend only on the episodes, ``spec`` and ``source``.

    Args:
        folder: the store to create; an existing one is replaced.
        spec: the environment's description, plain values (``EnvSpec.to_dict``).
        source: digest of the encoded data and of V.

    Raises:
        LatentError: at the end of the block, if no episode was added.
    """

    def __init__(self, folder: Path, *, spec: Mapping[str, Any], source: str) -> None:
        self._folder = folder
        self._partial = folder.with_name(f".{folder.name}-partial")
        self._head = {"format": FORMAT, "spec": dict(spec), "source": source}
        self._columns: dict[str, _Column] = {}  # made when the first episode comes

    def __enter__(self) -> "LatentWriter":
        shutil.rmtree(self._partial, ignore_errors=True)  # left by a killed run
        self._partial.mkdir(parents=True)
        return self

    def add(self, episode: LatentEpisode) -> None:
        """Append one episode.

        Raises:
            ValueError: its z_dim or action_dim differs from that of the previous episodes.
        """
        for name in (*_OBSERVATION_COLUMNS, *_STEP_COLUMNS, *([] if episode.truth is None else ["truth"])):
            self._append(name, getattr(episode, name))
        self._append("lengths", np.array([len(episode)]))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        try:
            with writing(self._folder):
                for column in self._columns.values():
                    column.close()
                if kind is None:
                    self._publish()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _append(self, name: str, values: NDArray) -> None:
        if name not in self._columns:
            self._columns[name] = _Column(self._partial / f"{name}.npy", _DTYPES[name])
        self._columns[name].append(values)

    def _publish(self) -> None:
        if not self._columns:
            raise LatentError(f"{self._folder}: there is no episode to encode")
        episodes, steps = self._columns["lengths"].rows, self._columns["reward"].rows
        if "truth" in self._columns and self._columns["truth"].rows != self._columns["mu"].rows:
            raise LatentError(f"{self._folder}: some episodes have env.truth and some have not; collect them anew")
        counts = {"episodes": episodes, "steps": steps, "observations": self._columns["mu"].rows}
        digests = {f"{name}.npy": file_digest(self._partial / f"{name}.npy") for name in self._columns}
        write_manifest(self._partial / MANIFEST, {**self._head, **counts, "digests": digests})
        shutil.rmtree(self._folder, ignore_errors=True)
        self._partial.rename(self._folder)


class _Column:
    """A .npy file that grows: numpy reserves header space for the row count, which is written at the end."""

    def __init__(self, path: Path, dtype: type) -> None:
        self._file: BinaryIO = path.open("wb")
        self._dtype = np.dtype(dtype)
        self._row: tuple[int, ...] | None = None
        self.rows = 0

    def append(self, values: NDArray) -> None:
        if self._row is None:
            self._row = values.shape[1:]
            self._write_header()
        if values.shape[1:] != self._row:
            raise ValueError(f"{self._file.name}: rows of shape {values.shape[1:]} after rows of shape {self._row}")
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).tobytes())
        self.rows += len(values)

    def close(self) -> None:
        if self._row is not None:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.rows, *(self._row or ()))}
        np.lib.format.write_array_header_1_0(self._file, header)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = read_manifest(path)
    except FileNotFoundError:
        raise LatentError(f"{path}: no such store of latents; `dvc repro` or `dvc pull` brings it") from None
    except ValueError:
        raise LatentError(f"{path}: damaged manifest; delete the folder and rerun") from None
    if manifest.get("format") != FORMAT:
        raise LatentError(f"{path}: format {manifest.get('format')} is not {FORMAT}; rerun the stage that made it")
    return manifest


def _open_column(folder: Path, name: str, digests: Mapping[str, str]) -> NDArray:
    path = folder / f"{name}.npy"
    if not path.exists():
        raise LatentError(f"{path}: missing; `dvc repro` or `dvc pull` brings it")
    if file_digest(path) != digests.get(path.name):
        raise LatentError(f"{path}: damaged, not the bytes its manifest tells of; delete the folder and rerun")
    try:
        column = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OverflowError, OSError, EOFError, TokenError):  # a size that the file has not, or objects
        column = None
    if column is None or column.dtype != _DTYPES[name] or column.ndim != (2 if name in _WIDE else 1):
        raise LatentError(f"{path}: no column of numbers, or not of that many; delete the folder and rerun")
    return column
