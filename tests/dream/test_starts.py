from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.dream.oracle import rng
from worldmodels.dream.starts import Starts
from worldmodels.records import LatentEpisode
from worldmodels.vision.latents import LatentStore, LatentWriter

LENGTHS = (2, 5, 1)


def recorded(folder: Path, ends: Collection[float]) -> LatentStore:
    """mu of observation t of episode i is [10 i + t, 0]; its first dimension is exact, the second has variance 4.

    Args:
        ends: first values of the observations from which a step is terminal.
    """
    with LatentWriter(folder, spec={}, source="") as writer:
        for i, steps in enumerate(LENGTHS):
            mu = np.zeros((steps + 1, 2), np.float32)
            mu[:, 0] = 10 * i + np.arange(steps + 1)
            logvar = np.tile(np.array([-60, np.log(4)], np.float32), (steps + 1, 1))
            action, reward = mu[:-1, :1], np.zeros(steps, np.float32)
            terminated = np.isin(mu[:-1, 0], list(ends))
            writer.add(LatentEpisode(mu, logvar, action, reward, terminated, np.zeros(steps, bool)))
    return LatentStore(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> LatentStore:
    """Episodes that were cut off."""
    return recorded(tmp_path_factory.mktemp("latents") / "r1", ends=())


@pytest.fixture(scope="module")
def of_points(tmp_path_factory) -> LatentStore:
    """Games that go on after a point: two of three end with one, the second has two more before."""
    return recorded(tmp_path_factory.mktemp("latents") / "r1", ends=(1, 10, 12, 14))


def test_episode_starts_are_first_observations(store):
    z = Starts(store, 1.0).draw(3000, rng()).z[:, -1]
    values, counts = z[:, 0].round().unique(return_counts=True)
    assert values.tolist() == [0, 10, 20]
    assert counts.min() > 900


def test_a_point_s_first_observation_is_a_start_too(of_points):
    z = Starts(of_points, 1.0).draw(3000, rng()).z[:, -1]
    values, counts = z[:, 0].round().unique(return_counts=True)
    assert values.tolist() == [0, 10, 11, 13, 20]
    assert counts.min() > 500


def test_ends_of_episodes_begin_nothing(tmp_path):
    ended = recorded(tmp_path / "r1", ends=(1, 14, 20))  # each episode's last step, and no other
    z, _, known = Starts(ended, 1.0, warmup=3).draw(500, rng())
    assert z[:, -1, 0].round().unique().tolist() == [0, 10, 20] and known.shape == (500, 0)


def test_a_share_of_the_starts_is_a_point_s_or_an_episode_s_first(of_points):
    z, _, known = Starts(of_points, 0.25, warmup=3).draw(4000, rng())
    assert z[:1000, -1, 0].round().unique().tolist() == [0, 10, 11, 13, 20] and known.shape == (4000, 3)
    assert z[1000:, -1, 0].round().unique().tolist() == [0, 1, 10, 11, 12, 13, 14, 20]


def test_the_steps_before_a_point_are_known(of_points):
    z, _, known = Starts(of_points, 1.0, warmup=2).draw(500, rng())
    start = z[:, -1, 0].round()
    assert known[start == 13].all() and not known[(start == 0) | (start == 10) | (start == 20)].any()
    assert known[start == 11].tolist() == [[False, True]] * int((start == 11).sum())
    assert z[start == 13, :-1, 0].round().unique(dim=0).tolist() == [[11, 12]]


def test_any_start_is_one_that_an_action_followed(store):
    z = Starts(store, 0.0).draw(8000, rng()).z[:, -1]
    values, counts = z[:, 0].round().unique(return_counts=True)
    assert values.tolist() == [0, 1, 10, 11, 12, 13, 14, 20]
    assert counts.min() > 850


def test_a_share_of_the_starts_is_initial_in_every_draw(store):
    z, _, known = Starts(store, 0.25, warmup=3).draw(4000, rng())
    initial = z[:1000, -1, 0].round()
    assert initial.unique().tolist() == [0, 10, 20] and not known[:1000].any()
    assert z[1000:, -1, 0].round().unique().tolist() == [0, 1, 10, 11, 12, 13, 14, 20]


def test_z_is_sampled_afresh(store):
    z = Starts(store).draw(4000, rng()).z[:, -1]
    np.testing.assert_allclose(z[:, 0], z[:, 0].round(), atol=1e-9)
    assert z[:, 1].std().item() == pytest.approx(2, rel=0.05)
    assert z[:, 1].mean().item() == pytest.approx(0, abs=0.15)


def test_generator_decides_the_starts(store):
    once, again, other = (Starts(store, 0.0).draw(9, rng(seed)).z[:, -1] for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_the_steps_before_a_start_lead_to_it_and_stay_in_its_episode(store):
    z, action, known = Starts(store, 0.0, warmup=3).draw(500, rng())
    assert z.shape == (500, 4, 2) and action.shape == (500, 3, 1) and known.shape == (500, 3)
    number, step = z[:, -1, 0].div(10, rounding_mode="floor"), z[:, -1, 0] % 10
    assert torch.equal(known, step[:, None] + torch.arange(-3, 0) >= 0)
    before = 10 * number[:, None] + step[:, None] + torch.arange(-3, 0)
    assert torch.equal(z[:, :-1, 0][known], before[known])
    assert torch.equal(action[..., 0][known], before[known])  # in this store an action is named like its observation


def test_an_episode_s_first_observation_has_no_steps_before_it(store):
    assert Starts(store, 1.0, warmup=3).draw(5, rng()).known.shape == (5, 0)
