"""Tests of the store of latents: round trip, atomicity, and detection of damage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worldmodels.records import LatentEpisode
from worldmodels.vision.latents import LatentError, LatentStore, LatentWriter

COLUMNS = ("mu", "logvar", "action", "reward", "terminated", "truncated")


def episode(steps: int, seed: int, z_dim: int = 3) -> LatentEpisode:
    rng = np.random.default_rng(seed)
    end = np.arange(steps) == steps - 1
    return LatentEpisode(
        mu=rng.normal(size=(steps + 1, z_dim)).astype(np.float32),
        logvar=rng.normal(size=(steps + 1, z_dim)).astype(np.float32),
        action=rng.normal(size=(steps, 2)).astype(np.float32),
        reward=rng.normal(size=steps).astype(np.float32),
        terminated=end & (seed % 2 == 0),
        truncated=end & (seed % 2 == 1),
    )


EPISODES = [episode(steps, seed) for seed, steps in enumerate((4, 1, 7))]


def write(folder: Path, episodes=EPISODES) -> Path:
    with LatentWriter(folder, spec={"id": "Here-v0", "action_dim": 2}, source="abc") as writer:
        for one in episodes:
            writer.add(one)
    return folder


def test_round_trip(tmp_path):
    store = LatentStore(write(tmp_path / "r1"))
    assert (len(store), store.steps, store.z_dim, store.action_dim) == (3, 12, 3, 2)
    assert store.spec == {"id": "Here-v0", "action_dim": 2}
    assert store.source == "abc"
    assert store.lengths.tolist() == [4, 1, 7]
    for wanted, got in zip(EPISODES, store.episodes(), strict=True):
        for name in COLUMNS:
            assert getattr(got, name).dtype == getattr(wanted, name).dtype
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))


def test_what_is_known_comes_back_beside_the_observations(tmp_path):
    truth = [np.arange(2 * len(one.mu), dtype=np.float32).reshape(-1, 2) for one in EPISODES]
    known = [replace(one, truth=values) for one, values in zip(EPISODES, truth, strict=True)]
    store = LatentStore(write(tmp_path / "r1", known))
    assert store.truth is not None and store.truth.shape == (len(store.mu), 2)
    for values, got in zip(truth, store.episodes(), strict=True):
        np.testing.assert_array_equal(got.truth, values)
    assert LatentStore(write(tmp_path / "r2")).truth is None
    with pytest.raises(LatentError, match=r"some episodes have env\.truth and some have not"):
        write(tmp_path / "r3", [known[0], EPISODES[1]])


def test_first_observations_are_where_the_offsets_say(tmp_path):
    store = LatentStore(write(tmp_path / "r1"))
    np.testing.assert_array_equal(store.mu[store.obs_offset[:-1]], [one.mu[0] for one in EPISODES])


def test_columns_are_mapped_not_loaded(tmp_path):
    store = LatentStore(write(tmp_path / "r1"))
    assert isinstance(store.mu, np.memmap)
    assert np.shares_memory(store.episode(2).mu, store.mu)


def test_same_episodes_same_bytes_and_an_old_store_is_replaced(tmp_path):
    first = {path.name: path.read_bytes() for path in write(tmp_path / "r1").iterdir()}
    write(tmp_path / "r1", EPISODES[:1])
    assert len(LatentStore(tmp_path / "r1")) == 1
    again = {path.name: path.read_bytes() for path in write(tmp_path / "r1").iterdir()}
    assert first == again


def test_the_count_of_rows_outgrows_no_header(tmp_path):
    long = episode(20_000, 0)
    store = LatentStore(write(tmp_path / "r1", [*EPISODES, long]))
    np.testing.assert_array_equal(store.episode(3).mu, long.mu)


def test_a_failed_writer_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), LatentWriter(tmp_path / "r1", spec={}, source="") as writer:
        writer.add(EPISODES[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_no_episode_is_an_error(tmp_path):
    with pytest.raises(LatentError, match="no episode"):
        write(tmp_path / "r1", [])


def test_an_episode_of_another_width_is_refused(tmp_path):
    with pytest.raises(ValueError, match="mu"):
        write(tmp_path / "r1", [EPISODES[0], episode(3, 0, z_dim=4)])


@pytest.mark.parametrize("name", [*COLUMNS, "lengths"])
def test_damage_is_named(tmp_path, name):
    path = write(tmp_path / "r1") / f"{name}.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(LatentError, match=f"{name}.npy: damaged"):
        LatentStore(tmp_path / "r1")
    path.unlink()
    with pytest.raises(LatentError, match=f"{name}.npy: missing"):
        LatentStore(tmp_path / "r1")


def test_no_store_is_an_error(tmp_path):
    with pytest.raises(LatentError, match="no such store"):
        LatentStore(tmp_path / "r1")
