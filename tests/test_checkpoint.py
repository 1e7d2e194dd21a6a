import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from worldmodels.common.checkpoint import CheckpointError, Scratch, atomic_path, digest, load, save, write_json


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    weights = np.arange(6.0, dtype=np.float32).reshape(2, 3).T
    arrays = {"weights": weights, "seen": np.array(True), "few": np.zeros((0, 4))}
    about = {"config": {"z_dim": 32, "beta": 0.5}, "kind": "vae"}
    save(tmp_path / "one", arrays, about)
    save(tmp_path / "folder" / "another", dict(reversed(arrays.items())), dict(reversed(about.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "folder" / "another").read_bytes()
    read, told = load(tmp_path / "one")
    assert told == about
    for name, array in arrays.items():
        assert read[name].shape == array.shape and read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "metrics.json", {"return_mean": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"\2\0\0\0\0\0\0\0{}"])
def test_a_damaged_or_missing_checkpoint_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such checkpoint"):
        load(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"bad\.pt: damaged"):
        load(tmp_path / "bad.pt")


def test_a_digest_sees_content_and_names_but_not_where(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "data").mkdir(parents=True)
        (tmp_path / place / "data" / "x.bin").write_bytes(b"1")
    assert digest([tmp_path / "a" / "data"]) == digest([tmp_path / "b" / "data"])
    (tmp_path / "b" / "data" / "x.bin").write_bytes(b"2")
    assert digest([tmp_path / "a" / "data"]) != digest([tmp_path / "b" / "data"])


def test_a_folder_with_a_manifest_is_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    before = digest([tmp_path])
    (tmp_path / "shard.h5").write_bytes(b"large")
    assert digest([tmp_path]) == before


def test_scratch_belongs_to_one_fingerprint(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "vae-r1", "a" * 64)
    assert scratch.load() is None
    scratch.save({"update": 7})
    assert Scratch(tmp_path, "vae-r1", "a" * 64).load() == {"update": 7}
    assert Scratch(tmp_path, "vae-r1", "b" * 64).load() is None
    scratch.clear()
    assert Scratch(tmp_path, "vae-r1", "a" * 64).load() is None


def test_damaged_scratch_is_named(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "vae-r1", "a" * 64)
    scratch.save({"update": 7})
    (scratch.folder / "state.pickle").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"state\.pickle: damaged"):
        scratch.load()


class Bomb:
    def __reduce__(self):
        return (os.abort, ())


def test_nothing_is_unpickled_that_was_not_saved_here(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "vae-r1", "a" * 64)
    scratch.save({"update": 7})
    (scratch.folder / "state.pickle").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"state\.pickle: damaged"):
        scratch.load()
    for damaged in (pickle.dumps(Bomb()), b"", b"\xff" * 100):
        (tmp_path / "vae.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"vae\.safetensors: damaged"):
            load(tmp_path / "vae.safetensors")


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.999])
def test_one_flipped_bit_is_found(tmp_path: Path, place: float) -> None:
    path = tmp_path / "vae.safetensors"
    save(path, {"weight": np.arange(64, dtype=np.float32)}, {"kind": "vae", "rate": 0.5})
    whole = bytearray(path.read_bytes())
    whole[int(place * len(whole))] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(CheckpointError, match=r"vae\.safetensors: damaged"):
        load(path)
