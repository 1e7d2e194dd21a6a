import numpy as np
import pytest

from worldmodels.vision.probe import fit_probe, probed, r_squared


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_linear_map_is_found(rng):
    z = rng.normal([5, 0, -3], [1, 100, 0.01], (500, 3))
    truth = np.stack([2 * z[:, 0] - 0.1 * z[:, 1] + 7, 1000 * z[:, 2]], 1)
    probe = fit_probe(z[:400], truth[:400])
    assert r_squared(truth[400:], probe.read(z[400:])) == pytest.approx([1, 1], abs=1e-5)
    assert probe.read(z.reshape(5, 100, 3)).shape == (5, 100, 2)


def test_what_z_does_not_hold_is_not_found(rng):
    probe = fit_probe(rng.normal(size=(2000, 3)), rng.normal(size=(2000, 1)))
    assert abs(r_squared(rng.normal(size=(2000, 1)), probe.read(rng.normal(size=(2000, 3))))[0]) < 0.02


def test_rows_where_a_value_is_unknown_do_not_count_for_it(rng):
    z = rng.normal(size=(400, 2))
    truth = z + 1
    truth[::2, 0], z_off = np.nan, z.copy()
    z_off[::2] += 50  # only where the first value is unknown
    probe = fit_probe(z_off[:, :1], truth[:, :1])
    assert r_squared(truth[:, :1], probe.read(z_off[:, :1]))[0] > 0.99


def test_a_dimension_and_a_value_that_never_change(rng):
    z = np.stack([rng.normal(size=100), np.full(100, 3.0)], 1)
    truth = np.stack([z[:, 0], np.full(100, 2.0), np.full(100, np.nan)], 1)
    explained = r_squared(truth, fit_probe(z, truth).read(z))
    assert explained[0] == pytest.approx(1, abs=1e-5) and not np.isfinite(explained[1:]).any()


def test_r_squared_of_the_mean_is_none_and_of_worse_is_negative():
    truth = np.array([[0.0], [2.0]])
    assert r_squared(truth, np.array([[1.0], [1.0]])) == 0
    assert r_squared(truth, np.array([[2.0], [0.0]])) == -3


def test_no_gate_asks_for_what_cannot_be_seen():
    assert probed(("ball", "_lives", "paddle")) == {0: "ball", 2: "paddle"}
