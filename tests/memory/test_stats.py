"""Tests of units and ranges from the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.memory.worlds import counting, make_store, walk, walks
from worldmodels.memory.stats import WorldStats, world_stats


def test_states_are_predicted_as_changes_in_their_own_unit(tmp_path):
    store = walks(tmp_path / "latents")
    stats = world_stats(store)
    changes = np.concatenate([np.diff(episode.mu[:, 0]) for episode in store.episodes()])
    assert stats.delta.item() == 1
    assert stats.binary.tolist() == [False, True]
    assert stats.scale.tolist() == pytest.approx([changes.std(), 1.0])


def test_the_z_of_a_vae_is_predicted_as_it_is(tmp_path):
    stats = world_stats(make_store(tmp_path / "latents", [walk(seed) for seed in range(5)], observation="pixel"))
    assert (stats.delta.item(), stats.binary.any().item(), stats.scale.tolist()) == (0, False, [1, 1])


def test_rewards_of_ordinary_and_terminating_steps_are_kept_apart(tmp_path):
    store = walks(tmp_path / "latents")
    stats = world_stats(store)
    ordinary = np.asarray(store.reward)[~np.asarray(store.terminated)]
    assert stats.reward_mean.item() == pytest.approx(ordinary.mean(), abs=1e-6)
    assert stats.reward_scale.item() == pytest.approx(ordinary.std(), rel=1e-5)
    assert stats.reward_low.item() == pytest.approx(-0.2) and stats.reward_high.item() == pytest.approx(0.2)
    assert stats.terminal_reward_low.item() == stats.terminal_reward_high.item() == 10
    assert stats.terminal_reward_scale.item() == pytest.approx(ordinary.std(), rel=1e-5)  # terminal rewards are equal
    assert stats.terminated_rate.item() == pytest.approx(np.mean(store.terminated))


def test_ranges_reach_as_far_as_sampled_z(tmp_path):
    exact = world_stats(make_store(tmp_path / "exact", [counting(9)]))
    assert exact.z_low.tolist() == pytest.approx([0, 0], abs=1e-9)
    assert exact.z_high.tolist() == pytest.approx([0, 9], abs=1e-9)
    blurred = world_stats(make_store(tmp_path / "blurred", [counting(9, logvar=0.0)]))
    assert blurred.z_low.tolist() == [-4, -4] and blurred.z_high.tolist() == [4, 13]


def test_data_without_an_end_or_without_a_reward_gives_usable_units(tmp_path):
    episode = counting(9)
    endless = replace(episode, terminated=np.zeros(9, bool), reward=np.zeros(9, np.float32))
    stats = world_stats(make_store(tmp_path / "latents", [endless]))
    assert stats.terminated_rate.item() == 0
    assert stats.reward_scale.item() == stats.terminal_reward_scale.item() == 1
    assert stats.terminal_reward_low.item() == stats.terminal_reward_high.item() == 0
    assert all(torch.isfinite(buffer.float()).all() for buffer in stats.buffers())
    assert (stats.scale > 0).all()


def test_unknown_statistics_are_refused():
    with pytest.raises(ValueError, match="z_lo"):
        WorldStats(2, z_lo=torch.zeros(2))
