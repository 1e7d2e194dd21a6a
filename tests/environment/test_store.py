from dataclasses import replace

import numpy as np
import pytest

from tests.environment.episodes import make_round, pixel_episode, state_episode
from worldmodels.environment.manifest import read_manifest
from worldmodels.environment.shard import DataError, read_field, read_shard, write_shard
from worldmodels.environment.statistics import merge_statistics, state_statistics
from worldmodels.environment.store import EpisodeStore


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__slots__)


@pytest.mark.parametrize("make", [pixel_episode, state_episode])
def test_shard_round_trip(tmp_path, make):
    episodes = [make(steps, seed) for seed, steps in enumerate([1, 45, 32, 31, 7])]
    write_shard(tmp_path / "a.h5", episodes)
    back = list(read_shard(tmp_path / "a.h5"))
    assert len(back) == 5 and all(same(one, other) for one, other in zip(episodes, back, strict=True))
    for one, other in zip(episodes, back, strict=True):
        assert (one.obs.dtype, one.action.dtype) == (other.obs.dtype, other.action.dtype)
    (third,) = read_shard(tmp_path / "a.h5", [2])
    assert same(third, episodes[2])


def test_what_is_known_is_stored_beside_the_observations(tmp_path):
    episodes = [state_episode(steps, seed) for seed, steps in enumerate([5, 9])]
    known = [replace(one, truth=np.full((len(one) + 1, 2), np.nan, np.float32)) for one in episodes]
    write_shard(tmp_path / "a.h5", known)
    for one, other in zip(known, read_shard(tmp_path / "a.h5"), strict=True):
        np.testing.assert_array_equal(one.truth, other.truth)
    write_shard(tmp_path / "b.h5", episodes)
    assert all(episode.truth is None for episode in read_shard(tmp_path / "b.h5"))


@pytest.mark.parametrize("make", [pixel_episode, state_episode])
def test_same_episodes_same_bytes_whatever_the_name(tmp_path, make):
    for name in ("a.h5", "another-name.h5"):
        write_shard(tmp_path / name, [make(40, 1), make(9, 2)])
    write_shard(tmp_path / "c.h5", [make(40, 1), make(9, 3)])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "another-name.h5").read_bytes()
    assert (tmp_path / "a.h5").read_bytes() != (tmp_path / "c.h5").read_bytes()


def test_a_shard_that_fails_half_way_is_not_there(tmp_path):
    def broken():
        yield state_episode(5, 0)
        raise RuntimeError("environment fell over")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "a.h5", broken())
    assert list(tmp_path.iterdir()) == []


def test_manifest_describes_the_round(tmp_path):
    episodes = [[state_episode(5, 1), state_episode(8, 2)], [state_episode(3, 3)]]
    manifest = make_round(tmp_path / "r1", episodes)
    assert manifest == read_manifest(tmp_path / "r1")
    assert (manifest["round"], manifest["previous"], manifest["previous_digest"]) == ("r1", None, None)
    assert (manifest["episodes"], manifest["steps"]) == (3, 16)
    assert [shard["steps"] for shard in manifest["shards"]] == [13, 3]
    assert manifest["seeds"] == {"min": 1, "max": 3} and manifest["policies"] == {"agent": 1, "random": 2}
    returns = [episode.episode_return for shard in episodes for episode in shard]
    assert manifest["returns"]["mean"] == pytest.approx(np.mean(returns))
    assert manifest["returns"]["std"] == pytest.approx(np.std(returns))
    states = np.concatenate([episode.obs for shard in episodes for episode in shard])
    np.testing.assert_allclose(manifest["state"]["mean"], states.mean(0), rtol=1e-5)
    assert manifest["state"]["binary"] == [2] and manifest["state"]["count"] == len(states)


def test_merged_statistics_are_those_of_all_states():
    rng = np.random.default_rng(0)
    parts = [rng.normal(shift, 1 + shift, (n, 2)).astype(np.float32) for shift, n in ((0, 5), (3, 50), (1, 1))]
    merged, whole = merge_statistics(map(state_statistics, parts)), state_statistics(np.concatenate(parts))
    assert merged.keys() == whole.keys() and merged["count"] == 56
    for key in ("mean", "std", "min", "max"):
        np.testing.assert_allclose(merged[key], whole[key], rtol=1e-12)


def test_binary_means_binary_in_every_part():
    zeros_and_ones, counting = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    assert merge_statistics([state_statistics(zeros_and_ones), state_statistics(counting)])["binary"] == []


def test_store_reads_all_rounds_in_order(tmp_path):
    make_round(tmp_path / "r0", [])
    make_round(tmp_path / "r1", [[pixel_episode(4, 1), pixel_episode(5, 2)], [pixel_episode(6, 3)]], tmp_path / "r0")
    make_round(tmp_path / "r2", [[pixel_episode(7, 4)]], tmp_path / "r1")
    store = EpisodeStore.open_all(tmp_path / "r2")
    assert [episode.seed for episode in store.episodes()] == [1, 2, 3, 4]
    assert [episode.seed for episode in store.episodes([3, 1])] == [2, 4]
    assert store.lengths.tolist() == [4, 5, 6, 7] and len(store) == 4
    assert len(EpisodeStore.open(tmp_path / "r2")) == 1 and len(EpisodeStore.open_all(tmp_path / "r0")) == 0


def test_statistics_of_all_rounds(tmp_path):
    make_round(tmp_path / "r1", [[state_episode(40, 1)]])
    make_round(tmp_path / "r2", [[state_episode(9, 2)]], tmp_path / "r1")
    store = EpisodeStore.open_all(tmp_path / "r2")
    states = np.concatenate([episode.obs for episode in store.episodes()]).astype(np.float64)
    np.testing.assert_allclose(store.state_statistics()["std"], states.std(0))


def test_a_round_of_another_past_is_refused(tmp_path):
    make_round(tmp_path / "r1", [[pixel_episode(4, 1)]])
    make_round(tmp_path / "r2", [[pixel_episode(4, 2)]], tmp_path / "r1")
    make_round(tmp_path / "r1", [[pixel_episode(4, 3)]])
    with pytest.raises(DataError, match="r1: r2 was collected after another version of it"):
        EpisodeStore.open_all(tmp_path / "r2")


def test_rounds_of_different_environments_are_refused(tmp_path):
    make_round(tmp_path / "r1", [[pixel_episode(4, 1)]])
    make_round(tmp_path / "r2", [[state_episode(4, 2)]], tmp_path / "r1")
    with pytest.raises(DataError, match="different environments"):
        EpisodeStore.open_all(tmp_path / "r2")


@pytest.mark.parametrize("position", [0, 0.3, 0.6, 0.999])
def test_one_flipped_byte_is_found_and_its_shard_named(tmp_path, position):
    make_round(tmp_path / "r1", [[pixel_episode(4, 1)], [pixel_episode(4, 2)]])
    path = tmp_path / "r1" / "shard-00001.h5"
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"shard-00001\.h5: damaged"):
        EpisodeStore.open(tmp_path / "r1")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.json: no such manifest"):
        EpisodeStore.open(tmp_path / "r1")
    make_round(tmp_path / "r1", [[pixel_episode(4, 1)]])
    (tmp_path / "r1" / "shard-00000.h5").unlink()
    with pytest.raises(DataError, match=r"shard-00000\.h5: missing"):
        EpisodeStore.open(tmp_path / "r1")
    (tmp_path / "r1" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="damaged manifest"):
        EpisodeStore.open(tmp_path / "r1")


def test_frames_are_stored_in_chunks_of_32_and_compressed(tmp_path):
    write_shard(tmp_path / "a.h5", [pixel_episode(100, 1)])
    assert (tmp_path / "a.h5").stat().st_size < 0.05 * read_field(tmp_path / "a.h5", "obs").nbytes
