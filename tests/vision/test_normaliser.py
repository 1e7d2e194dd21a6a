"""Tests of V of state environments."""

import numpy as np
import pytest

from worldmodels.vision.base import LOGVAR_EXACT
from worldmodels.vision.normaliser import fit_normaliser

STATISTICS = {"mean": [5.0, 0.5, -1.0], "std": [2.0, 0.5, 0.0], "binary": [1]}


def test_states_are_standardised_exactly_and_come_back():
    normaliser = fit_normaliser(STATISTICS)
    states = np.array([[7.0, 1.0, -1.0], [3.0, 0.0, -1.0]], np.float32)
    mu, logvar = normaliser.encode(states)
    assert normaliser.z_dim == 3
    np.testing.assert_array_equal(mu, [[1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    assert (logvar == LOGVAR_EXACT).all()
    np.testing.assert_array_equal(normaliser.decode(mu), states)


def test_noise_in_a_constant_dimension_is_not_blown_up():
    mu, _ = fit_normaliser(STATISTICS).encode(np.array([[5.0, 0.0, -1.0 + 1e-6]]))
    assert abs(mu[0, 2]) < 0.01


def test_the_map_to_another_leads_from_one_encoding_to_the_other():
    before = fit_normaliser(STATISTICS)
    after = fit_normaliser({"mean": [6.0, 0.5, 3.0], "std": [4.0, 0.5, 2.0], "binary": [1]})
    gain, offset = after.map_to(before)
    states = np.array([[7.0, 1.0, 5.0], [3.0, 0.0, 1.0]])
    expected = before.encode(states)[0]
    expected[:, 2] = 0.0  # was a constant before
    np.testing.assert_allclose(gain * after.encode(states)[0] + offset, expected, atol=1e-6)


def test_binary_dimensions_stay_0_and_1_whatever_their_mean():
    mu, _ = fit_normaliser({"mean": [0.25], "std": [0.43], "binary": [0]}).encode(np.array([[0.0], [1.0]]))
    assert mu.flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("missing", ["mean", "std", "binary"])
def test_statistics_are_whole(missing):
    with pytest.raises(KeyError):
        fit_normaliser({name: value for name, value in STATISTICS.items() if name != missing})
