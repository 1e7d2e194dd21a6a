"""Files whose sizes are absurd, though every digest is right, are refused before memory is taken."""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import psutil
import pytest

from tests.environment.episodes import make_round, pixel_episode
from tests.memory.worlds import walks
from worldmodels.agents import AgentError, load_agent
from worldmodels.common.checkpoint import (
    CheckpointError,
    content_digest,
    file_digest,
    load,
    read_json,
    save,
    write_json,
    write_manifest,
)
from worldmodels.common.errors import one_line_errors
from worldmodels.environment.manifest import read_manifest
from worldmodels.environment.shard import DataError, open_frames
from worldmodels.environment.store import EpisodeStore
from worldmodels.vision.latents import LatentError, LatentStore

TERA = 10**12
SHIPPED = Path(__file__).parents[2] / "agents" / "pong"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A round of one shard."""
    make_round(tmp_path / "r1", [[pixel_episode(4, 1), pixel_episode(5, 2)]])
    return tmp_path / "r1"


def changed(folder: Path, change: Callable[[h5py.File], None]) -> Path:
    """The round's shard with a change that its manifest knows of."""
    path, manifest = folder / "shard-00000.h5", read_manifest(folder)
    with h5py.File(path, "r+") as file:
        change(file)
    manifest["shards"][0]["digest"] = file_digest(path)
    write_manifest(folder / "manifest.json", manifest)
    return path


def test_a_field_of_a_shard_is_not_larger_than_memory(folder: Path) -> None:
    path = changed(folder, lambda file: file["length"].resize(TERA, axis=0))  # pyright: ignore[reportAttributeAccessIssue]
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"shard-00000\.h5: length would take 7,629,394 MiB of memory"):
        EpisodeStore.open(folder)


def test_an_episode_is_not_larger_than_memory(folder: Path) -> None:
    def change(file: h5py.File) -> None:
        file["obs"].resize(TERA, axis=0)  # pyright: ignore[reportAttributeAccessIssue]
        file["length"][0] = TERA // 2  # pyright: ignore[reportIndexIssue]

    changed(folder, change)
    with pytest.raises(DataError, match="obs would take"):
        next(EpisodeStore.open(folder).episodes())


def test_a_chunk_is_not_larger_than_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(file: h5py.File) -> None:
        del file["obs"]
        file.create_dataset("obs", (11, 64, 64, 3), np.uint8, chunks=(2**14, 64, 64, 3), maxshape=(None, 64, 64, 3))

    path = changed(folder, change)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**27))
    with pytest.raises(DataError, match="obs would take"):
        open_frames(path)


@pytest.mark.parametrize(
    "head",
    [
        {"descr": "<f4", "fortran_order": False, "shape": (TERA, 4)},
        {"descr": "<f4", "fortran_order": False, "shape": (2**62, 2**62)},
        {"descr": "|O", "fortran_order": False, "shape": (1,)},
        {"descr": "|V0", "fortran_order": False, "shape": (TERA, 4)},
        {"descr": "<f4", "fortran_order": False, "shape": (0,)},
    ],
)
def test_a_column_of_latents_is_as_large_as_its_file(tmp_path: Path, head: dict) -> None:
    folder = walks(tmp_path / "latents").folder
    with (folder / "mu.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("digest")
    manifest["digests"]["mu.npy"] = file_digest(folder / "mu.npy")
    write_manifest(folder / "manifest.json", manifest)
    with pytest.raises(LatentError, match=r"mu\.npy: no column of numbers"):
        LatentStore(folder)


def test_json_is_neither_large_nor_deep(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    with path.open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ValueError, match="more than 64 MiB"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(AgentError, match=r"agent\.json: damaged \(too many levels\)"):
        load_agent(tmp_path)


def test_a_want_of_memory_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # to be restored
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with pytest.raises(SystemExit) as ended, one_line_errors():
        np.empty(TERA * 1000, np.float64)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not enough memory in test_sizes.py:") and "Unable to allocate" in line


@pytest.mark.parametrize(("part", "name"), [("mdnrnn", "hidden_dim"), ("vae", "width"), ("vae", "z_dim")])
@pytest.mark.parametrize("size", [10**7, 10**15])
def test_a_model_is_as_large_as_its_weights(tmp_path: Path, part: str, name: str, size: int) -> None:
    arrays, head = load(SHIPPED / "weights.safetensors")
    about = read_json(SHIPPED / "agent.json")
    about[part]["config"][name] = size
    save(tmp_path / "weights.safetensors", arrays, head | {"about": content_digest(about)})
    write_json(tmp_path / "agent.json", about)
    with pytest.raises(CheckpointError, match="its settings say other sizes than its weights have"):
        load_agent(tmp_path)
