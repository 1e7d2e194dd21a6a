"""Tests of windows, with a store in which every row identifies itself."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.memory.worlds import counting, make_store
from worldmodels.memory.windows import Lanes, LatentBatch, resident, walk_through

LENGTHS = [3, 17, 8, 1, 25, 10]
STREAM = (0, "test")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    episodes = [counting(length, number) for number, length in enumerate(LENGTHS)]
    return make_store(tmp_path_factory.mktemp("windows") / "latents", episodes)


def lanes(store, ensemble_size=2, count=3, sequence_length=4, stream=STREAM) -> Lanes:
    return Lanes(store, np.arange(len(LENGTHS)), ensemble_size, count, sequence_length, stream)


def batches(source: Lanes, count: int) -> list[LatentBatch]:
    return [source.next() for _ in range(count)]


def check_alignment(batch: LatentBatch) -> None:
    """z at t is [episode, t]; action and reward of the step from t are t."""
    number, t = batch.z.unbind(-1)
    inside = batch.mask
    assert torch.equal(number, batch.z_next[..., 0])  # never across an end
    assert torch.equal(number, number[..., :1].expand_as(number))
    assert torch.equal((t + 1)[inside], batch.z_next[..., 1][inside])
    assert torch.equal(t[inside], batch.reward[inside])
    assert torch.equal(t[inside], batch.action[..., 0][inside])
    last = t == torch.tensor(LENGTHS)[number.long()] - 1
    assert torch.equal((last & inside), (batch.terminated & inside))


def test_rows_line_up_and_no_window_crosses_an_end(store):
    for batch in batches(lanes(store), 60):
        check_alignment(batch)
        assert batch.z.shape == (2, 3, 4, 2)
        assert batch.mask[..., 0].all()


def test_a_lane_goes_on_where_it_left_off_or_is_fresh(store):
    seen = batches(lanes(store), 60)
    assert seen[0].fresh.all()
    for before, after in pairwise(seen):
        follows = after.z[:, :, 0, 1] == before.z[:, :, -1, 1] + 1
        same = after.z[:, :, 0, 0] == before.z[:, :, 0, 0]
        assert (follows & same)[~after.fresh].all()
        assert (after.z[:, :, 0, 1] == 0)[after.fresh].all()
        ended = ~before.mask[..., -1] | before.terminated[..., -1]
        assert torch.equal(ended, after.fresh)


def test_every_member_sees_every_episode_as_often_and_in_its_own_order(store):
    source = lanes(store, count=1)
    visits = [[], []]
    for batch in batches(source, 600):
        for member in torch.nonzero(batch.fresh[:, 0]).flatten().tolist():
            visits[member].append(int(batch.z[member, 0, 0, 0]))
    for order in visits:
        counts = np.bincount(order[: 6 * (len(order) // 6)], minlength=6)
        assert counts.min() == counts.max()
    assert visits[0][:12] != visits[1][:12]
    assert visits[0][:6] != visits[0][6:12]


def test_no_lane_idles_however_few_the_episodes(store):
    for batch in batches(lanes(store, count=20), 20):
        assert batch.mask[..., 0].all()


def test_lanes_are_not_in_step(store):
    assert len(batches(lanes(store, count=20), 1)[0].z[:, :, 0, 1].unique()) > 2


def test_an_epoch_is_as_many_windows_as_there_are(store):
    assert lanes(store, count=1).batches_per_epoch == 1 + 5 + 2 + 1 + 7 + 3
    assert lanes(store, count=8).batches_per_epoch == 3


def test_same_stream_same_batches_and_resumed_ones_too(store):
    source, again = lanes(store), lanes(store)
    batches(source, 9)
    again.resume(source.state())
    fresh_start = batches(lanes(store), 29)[9:]
    for one, two, three in zip(batches(source, 20), batches(again, 20), fresh_start, strict=True):
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(one, two, three, strict=True))
    other = lanes(store, stream=(1, "test")).next()
    assert not torch.equal(other.z, lanes(store).next().z)


def test_z_is_drawn_afresh_from_the_posterior(tmp_path):
    store = make_store(tmp_path / "latents", [counting(400, logvar=float(np.log(0.25)))])
    source = Lanes(store, np.zeros(1, int), 1, 1, 400, STREAM)
    first, second = source.next().z[0, 0], source.next().z[0, 0]
    mu = torch.from_numpy(store.mu[:400].copy())
    assert not torch.equal(first, second)
    for z in (first, second):
        assert (z - mu).std().item() == pytest.approx(0.5, abs=0.05)
        assert (z - mu).mean().item() == pytest.approx(0.0, abs=0.06)


def test_z_next_is_the_next_z_also_when_drawn(tmp_path):
    store = make_store(tmp_path / "latents", [counting(50, logvar=0.0)])
    batch = Lanes(store, np.zeros(1, int), 1, 1, 50, STREAM).next()
    assert torch.equal(batch.z[:, :, 1:], batch.z_next[:, :, :-1])


def test_walking_through_visits_every_step_once(store):
    visited = []
    for batch in walk_through(store, np.arange(len(LENGTHS)), 4, 5, STREAM):
        check_alignment(batch)
        visited += [tuple(row) for row in batch.z[batch.mask].int().tolist()]
    assert sorted(visited) == [(number, t) for number, length in enumerate(LENGTHS) for t in range(length)]


def test_columns_in_a_devices_memory_give_the_same_windows(store):
    moved = lanes(resident(store, torch.device("cpu")))
    for ours, theirs in zip(batches(moved, 12), batches(lanes(store), 12), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert store.nbytes == sum(column.nbytes for column in (store.mu, store.logvar, store.action)) + 6 * sum(LENGTHS)


def test_noise_is_on_what_is_shown_and_on_nothing_else(store):
    batch = next(walk_through(store, np.arange(len(store)), 4, 8, (0,)))
    assert torch.equal(batch.z_seen, batch.z)
    noisy = batch.with_noise(torch.tensor([0.0, 0.5]), np.random.default_rng(0))
    difference = noisy.z_seen - batch.z
    assert not difference[..., 0].any()
    assert 0.3 < difference[..., 1].std() < 0.7
    assert all(torch.equal(a, b) for a, b in zip(noisy._replace(z_seen=batch.z), batch, strict=True))
