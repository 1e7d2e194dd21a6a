"""Atomic file writes, checkpoints whose bytes depend only on their content, and resumable scratch state.

A stage's scratch checkpoint is outside DVC's outs, in a git-ignored folder keyed by a fingerprint of everything the
stage's result depends on. A killed stage resumes from it; a stage with changed inputs starts from the beginning.
"""

import hashlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.errors import writing
from worldmodels.common.params import UserError

_LARGEST_JSON = 2**26  # bytes; a shard's entry in a manifest has 200
_HEAD = "head"  # a single key: the format does not keep the order of several


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or of the wrong kind."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to ``path`` if the block succeeds, deleted otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        with writing(path):
            yield temporary
            temporary.chmod(0o644)  # mkstemp creates files with mode 0600
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically, with a final newline. NaN raises an error."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_manifest(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON with its ``content_digest``, atomically."""
    write_json(path, {**value, "digest": content_digest(value)})


def read_manifest(path: Path) -> dict[str, Any]:
    """The value that ``write_manifest`` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not what was written.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("digest", None) != content_digest(value):
        raise ValueError("not what was written")
    return value


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not JSON, or too large or too deep for any that is written here.
    """
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"more than {_LARGEST_JSON >> 20} MiB")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("too many levels") from None


def content_digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, however they are laid out in a file."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def save(path: Path, arrays: Mapping[str, NDArray], about: Mapping[str, Any]) -> None:
    """Save arrays and plain values that describe them in one safetensors file, with a digest of both, atomically.

    The same content gives the same bytes.
    """
    from safetensors.numpy import save as serialise  # imported late: V and M can also be trained without files

    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    head = {"about": dict(about), "digest": _digest_of(whole, about)}
    write_bytes(path, serialise(whole, {_HEAD: json.dumps(head, sort_keys=True, allow_nan=False)}))


def _digest_of(arrays: Mapping[str, NDArray], about: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values."""
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def load(path: Path, *kinds: str) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays and the plain values that ``save`` wrote.

    Args:
        kinds: what the plain value ``kind`` may be; none: it is not looked at.

    Raises:
        CheckpointError: the file is missing, damaged (its digest is checked), or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays, head = {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()[_HEAD])  # noqa: SIM118
        about, wanted = head["about"], head["digest"]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint; `dvc repro` or `dvc pull` brings it") from None
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it and rerun") from None
    if not isinstance(about, dict) or _digest_of(arrays, about) != wanted:
        raise CheckpointError(f"{path}: damaged checkpoint, not the values that were saved; delete it and rerun")
    if kinds and about.get("kind") not in kinds:
        raise CheckpointError(f"{path}: holds {about.get('kind')!r}, not {' or '.join(kinds)}")
    return arrays, about


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 of files and folders. A folder is represented by its manifest.json, which contains its files' digests."""
    total = hashlib.sha256()
    for path in paths:
        for file in _files(path):
            total.update(f"{file.relative_to(path.parent).as_posix()}:{file_digest(file)}\n".encode())
    return total.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    manifest = path / "manifest.json"
    if manifest.exists():
        return [manifest]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.suffix != ".pyc")


class Scratch:
    """The resumable state of one stage's run, in a folder that belongs to one fingerprint.

    Args:
        root: the folder of all scratch folders, git-ignored.
        name: stage and round, for readable folder names.
        fingerprint: a value for everything the result depends on; another fingerprint gives another folder.
    """

    def __init__(self, root: Path, name: str, fingerprint: str) -> None:
        self.folder = root / f"{name}-{fingerprint[:16]}"
        self._state = self.folder / "state.pickle"

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the saved state, atomically. It is a digest and a pickle: for use on this machine only."""
        pickled = pickle.dumps(dict(state))
        write_bytes(self._state, hashlib.sha256(pickled).digest() + pickled)

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None if there is none.

        Raises:
            CheckpointError: it is damaged.
        """
        if not self._state.exists():
            return None
        whole = self._state.read_bytes()
        digest, pickled = whole[: hashlib.sha256().digest_size], whole[hashlib.sha256().digest_size :]
        if hashlib.sha256(pickled).digest() != digest:
            raise CheckpointError(f"{self._state}: damaged; delete its folder")
        return pickle.loads(pickled)

    def clear(self) -> None:
        """Delete the folder: the stage has succeeded."""
        shutil.rmtree(self.folder, ignore_errors=True)
