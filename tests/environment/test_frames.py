from typing import Any

import numpy as np
import pytest
import torch

from tests.environment.episodes import make_round, pixel_episode
from worldmodels.environment.frames import FrameLoader
from worldmodels.environment.store import EpisodeStore
from worldmodels.holdout import split_episodes

LENGTHS = [3, 40, 70, 1, 33, 20, 64, 9]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episodes") / "r1"
    episodes = [pixel_episode(steps, seed) for seed, steps in enumerate(LENGTHS)]
    make_round(folder, [episodes[:5], episodes[5:]])
    return EpisodeStore.open(folder)


def loader(store, **settings: Any):
    return FrameLoader(store, **{"batch_size": 16, "seed": 1, "buffer_chunks": 3, **settings})


def frames_of(batches):
    """(episode, step) of every frame, in order, decoded from the colours."""
    return [tuple(frame[0, 0, :2].tolist()) for batch in batches for frame in batch]


def expected(store, part):
    return {(int(i), step) for i in split_episodes(len(store), 1)[part] for step in range(LENGTHS[i] + 1)}


@pytest.mark.parametrize("buffer_chunks", [1, 3, 1000])
def test_an_epoch_is_every_training_frame_once(store, buffer_chunks):
    frames = loader(store, buffer_chunks=buffer_chunks)
    batches = list(frames.train_batches(0))
    seen = frames_of(batches)
    assert len(seen) == len(set(seen)) == frames.frames and set(seen) == expected(store, 0)
    assert len(batches) == frames.batches_per_epoch
    assert all(batch.shape == (16, 64, 64, 3) and batch.dtype == np.uint8 for batch in batches[:-1])


def test_frames_come_unharmed(store):
    for batch in loader(store).train_batches(0):
        np.testing.assert_array_equal(batch[..., 2], np.broadcast_to(np.arange(64), batch.shape[:3]))


def test_validation_is_the_held_out_episodes(store):
    seen = frames_of(loader(store).validation_batches())
    assert len(seen) == len(set(seen)) and set(seen) == expected(store, 1)
    assert not set(seen) & expected(store, 0)


@pytest.mark.parametrize("start", [0, 1, 5, 10, 11])
def test_entering_an_epoch_late_is_having_skipped(store, start):
    whole = list(loader(store).train_batches(2))
    late = list(loader(store).train_batches(2, start))
    assert len(late) == len(whole) - start
    assert all(np.array_equal(one, other) for one, other in zip(whole[start:], late, strict=True))


def test_epochs_differ_and_repeat(store):
    first, second = frames_of(loader(store).train_batches(0)), frames_of(loader(store).train_batches(1))
    assert first != second and first == frames_of(loader(store).train_batches(0))
    assert first != frames_of(loader(store, seed=2).train_batches(0))


def test_frames_are_well_mixed(store):
    order = np.array([step for _, step in frames_of(loader(store, buffer_chunks=1000).train_batches(0))])
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.2  # 0.99 for frames in recorded order


def test_skipped_buffers_are_not_decoded(store, monkeypatch):
    from worldmodels.environment import frames as module

    read = []
    real = module._Reader.read
    monkeypatch.setattr(module._Reader, "read", lambda self, chunks: read.extend(chunks) or real(self, chunks))
    frames = loader(store, buffer_chunks=1)
    list(frames.train_batches(0, frames.batches_per_epoch - 1))
    assert 1 <= len(read) <= 3


def test_mean_frame(store):
    frames = loader(store)
    all_of_them = np.concatenate(list(frames.train_batches(0)))
    np.testing.assert_allclose(frames.mean_frame, all_of_them.mean(0), atol=0.51)
    assert frames.mean_frame.dtype == np.uint8


def test_mean_distance_is_that_of_the_farthest_channel(store):
    frames = loader(store)
    all_of_them, ground = np.concatenate(list(frames.train_batches(0))), np.full((64, 64, 3), (10, 20, 200), np.uint8)
    wanted = np.abs(all_of_them - ground.astype(float)).max(-1).mean(0)
    np.testing.assert_allclose(frames.mean_distance(ground), wanted, rtol=1e-5)


def test_frames_that_stay_on_a_device_come_in_the_same_batches(store, monkeypatch):
    monkeypatch.setattr("worldmodels.environment.frames.has_room", lambda size, device: size > 0)
    resident, streamed = loader(store, device=torch.device("cpu")), loader(store)
    for epoch, start in ((0, 0), (1, 0), (1, 3)):
        pairs = list(zip(resident.train_batches(epoch, start), streamed.train_batches(epoch, start), strict=True))
        assert all(isinstance(ours, torch.Tensor) and np.array_equal(ours, theirs) for ours, theirs in pairs)
        assert len(pairs) == streamed.batches_per_epoch - start


def test_without_room_on_the_device_frames_are_streamed(store):
    batches = loader(store, device=torch.device("cpu")).train_batches(0)
    assert all(isinstance(batch, np.ndarray) for batch in batches)
