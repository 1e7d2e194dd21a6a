import pickle
from typing import Literal

import numpy as np
import pytest

from worldmodels.control.cmaes import CMAES

GOAL = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
TURN = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]


Covariance = Literal["full", "diagonal", "identity"]
COVARIANCES: list[Covariance] = ["full", "diagonal", "identity"]


def new_search(covariance: Covariance = "full", seed: int = 7) -> CMAES:
    return CMAES(np.zeros(5), 0.5, 12, np.random.default_rng(seed), covariance)


def sphere(solutions):
    return -((solutions - GOAL) ** 2).sum(axis=1)


def advance(search: CMAES, generations: int) -> CMAES:
    for _ in range(generations):
        solutions = search.ask()
        search.tell(solutions, sphere(solutions))
    return search


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_it_climbs_to_the_top_of_a_sphere(covariance):
    search = advance(new_search(covariance), 120)
    np.testing.assert_allclose(search.mean, GOAL, atol=1e-4)
    assert search.sigma < 1e-3


def valley(solutions):
    return -((solutions * np.array([30, 30, 30, 30, 1])) ** 2).sum(axis=1)


def test_each_covariance_learns_what_it_says():
    correlation = {}
    spread = {}
    for covariance in COVARIANCES:
        search = new_search(covariance)
        for _ in range(60):
            solutions = search.ask()
            search.tell(solutions, valley(solutions @ TURN if covariance == "full" else solutions))
        sample = np.concatenate([search.ask() for _ in range(200)])
        learned = np.corrcoef(sample.T)
        correlation[covariance] = abs(learned - np.eye(5)).max()
        spread[covariance] = sample.std(0).max() / sample.std(0).min()
    assert correlation["full"] > 0.9
    assert correlation["diagonal"] < 0.1
    assert correlation["identity"] < 0.1
    assert spread["diagonal"] > 5
    assert spread["identity"] < 1.1


def test_it_maximises_and_does_not_minimise():
    search = new_search()
    for _ in range(20):
        solutions = search.ask()
        search.tell(solutions, solutions.sum(axis=1))
    assert search.mean.sum() > 10


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_stored_search_goes_on_to_the_same_bits(covariance):
    whole = advance(new_search(covariance), 30)
    resumed = advance(pickle.loads(pickle.dumps(advance(new_search(covariance), 11))), 19)
    assert resumed.mean.tobytes() == whole.mean.tobytes()
    assert resumed.sigma == whole.sigma
    assert resumed.ask().tobytes() == whole.ask().tobytes()


def test_numpys_global_generator_and_the_search_leave_each_other_alone():
    undisturbed = advance(new_search(), 5).ask()
    np.random.seed(3)  # noqa: NPY002
    search = advance(new_search(), 3)
    assert np.random.random() == np.random.RandomState(3).random()  # noqa: NPY002
    np.random.random(100)  # noqa: NPY002
    assert advance(search, 2).ask().tobytes() == undisturbed.tobytes()


def test_another_seed_is_another_search():
    assert not np.array_equal(new_search(seed=1).ask(), new_search(seed=2).ask())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_return_that_is_not_finite_is_the_generations_worst(bad):
    marred, clean = new_search(), new_search()
    for _ in range(10):
        solutions = marred.ask()
        assert np.array_equal(solutions, clean.ask())
        returns = sphere(solutions)
        returns[returns.argmin()] = bad
        assert marred.tell(solutions, returns) == 1
        replaced = np.where(np.isfinite(returns), returns, returns[np.isfinite(returns)].min())
        assert clean.tell(solutions, replaced) == 0
    assert np.array_equal(marred.mean, clean.mean)


def test_the_search_survives_a_generation_without_a_finite_return():
    search = new_search()
    assert search.tell(search.ask(), np.full(12, np.nan)) == 12
    np.testing.assert_allclose(advance(search, 120).mean, GOAL, atol=1e-4)


def test_a_population_too_small_to_recombine_is_refused():
    with pytest.raises(ValueError, match="popsize = 3"):
        CMAES(np.zeros(5), 0.5, 3, np.random.default_rng(0))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_no_parameter_spreads_wider_than_it_may(covariance):
    def spread(max_sigma):
        search = CMAES(np.zeros(5), 0.5, 400, np.random.default_rng(0), covariance, max_sigma)
        for _ in range(30):
            solutions = search.ask()
            search.tell(solutions, solutions.sum(1))  # a slope without a top: steps only grow
        return search.ask().std(0)

    assert spread(0.0).max() > 50
    assert spread(0.6).max() < 0.75  # the spread of 400
