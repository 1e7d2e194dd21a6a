"""Files that are whole or absent, checkpoints whose bytes depend on their content alone, and resumable work.

A stage's scratch checkpoint lives outside DVC's outs, in a git-ignored folder keyed by a fingerprint of all that
the stage's result depends on. A stage that was killed finds it and goes on; a stage whose inputs changed does not.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from worldmodels.common.params import UserError


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or not the kind it should be."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to; it gets the name ``path`` when the block ends well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp's is private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically, with a final newline. NaN is refused."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Save tensors and plain values atomically. The same content gives the same bytes whatever the file's name."""
    buffer = io.BytesIO()  # torch.save to a path would write that path's stem into the archive
    torch.save(dict(content), buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Load what ``save`` wrote; only tensors and plain values, never code.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint; `dvc repro` or `dvc pull` brings it") from None
    except Exception as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it and rerun") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over files and folders. A folder with a manifest.json, which holds its files' digests, is that file."""
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
    """The resumable state of one stage's run: a folder that is this fingerprint's own and nobody else's.

    Args:
        root: the folder of all scratch, git-ignored.
        name: stage and round, for people.
        fingerprint: everything the result depends on; another fingerprint is another folder.
    """

    def __init__(self, root: Path, name: str, fingerprint: str) -> None:
        self.folder = root / f"{name}-{fingerprint[:16]}"
        self._state = self.folder / "state.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the saved state, atomically."""
        save(self._state, state)

    def load(self) -> dict[str, Any] | None:
        """The last saved state, on the CPU; None when there is none."""
        return load(self._state) if self._state.exists() else None

    def clear(self) -> None:
        """Delete the folder: the stage has succeeded."""
        shutil.rmtree(self.folder, ignore_errors=True)
