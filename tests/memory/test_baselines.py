import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from tests.memory.worlds import counting, make_store, walks
from worldmodels.memory.baselines import baselines
from worldmodels.memory.stats import WorldStats, world_stats
from worldmodels.records import LatentEpisode


def noisy(steps: int, seed: int) -> LatentEpisode:
    """z jumps about with a spread of 2 and 0.5; its posterior has a standard deviation of 0.1."""
    rng = np.random.default_rng(seed)
    mu = rng.normal(0, [2, 0.5], (steps + 1, 2)).astype(np.float32)
    return replace(counting(steps), mu=mu, logvar=np.full_like(mu, 2 * math.log(0.1)))


def test_they_are_the_mean_log_likelihoods_of_gaussians(tmp_path):
    store = make_store(tmp_path / "r1", [noisy(4000, seed) for seed in range(4)], observation="pixel")
    rng = np.random.default_rng(9)
    z = np.concatenate([one.mu + 0.1 * rng.standard_normal(one.mu.shape) for one in store.episodes()])
    gaussian = -Normal(0.0, 1.0).log_prob(torch.from_numpy(z)).mean()
    change = np.diff(z, axis=0)
    copy = -Normal(0.0, torch.from_numpy(change.std(0))).log_prob(torch.from_numpy(change)).mean()
    found = baselines(store, WorldStats(2), np.arange(2), np.arange(2, 4))
    assert found.unit_gaussian == pytest.approx(float(gaussian), abs=0.05)
    assert found.copy_last == pytest.approx(float(copy), abs=0.05)


def test_in_units_of_the_changes_copying_is_the_unit_gaussian(tmp_path):
    store = walks(tmp_path / "r1")  # a position that moves by ±0.2, and a binary dimension, which does not count
    found = baselines(store, world_stats(store), np.arange(10), np.arange(10, 20))
    assert found.copy_last == pytest.approx(0.5 * math.log(2 * math.pi) + 0.5, abs=0.02)
    assert found.unit_gaussian == pytest.approx(found.copy_last, abs=0.05)
