import numpy as np
import pytest

from tests.control.agents import STATE, new_agent, new_controller
from worldmodels.common.params import ParamError
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.common.seeding import Role, env_seeds
from worldmodels.control.config import EvaluateConfig
from worldmodels.control.dream_check import dream_check
from worldmodels.control.evaluate import evaluate_policy, scoring_env, scoring_spec, summary
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.rollout import rollout
from worldmodels.records import EvalResult


def result_of(returns):
    returns = np.array(returns, np.float64)
    lengths, ends = np.arange(1, len(returns) + 1), np.ones(len(returns), bool)
    return EvalResult(np.arange(len(returns)), returns, lengths, ends, ~ends)


def test_every_seed_is_played_to_its_end_whatever_the_workers_backend():
    agent, seeds = new_agent(STATE, new_controller(STATE)), env_seeds(Role.EVALUATE, 7)
    episodes = rollout(STATE, agent, seeds[:3]) + rollout(STATE, agent, seeds[3:6]) + rollout(STATE, agent, seeds[6:])
    for runtime in (RuntimeConfig(workers=1), RuntimeConfig(workers=3, backend="threading")):
        result = evaluate_policy(STATE, agent, seeds, runtime, episodes_per_task=3)
        assert result.seeds.tolist() == seeds
        assert result.returns.tolist() == [episode.episode_return for episode in episodes]
        assert result.lengths.tolist() == [len(episode) for episode in episodes]
        assert result.terminated.all() and not result.truncated.any()


def test_the_summary_says_what_the_returns_say():
    found = summary(result_of([1.0, 2.0, 3.0, 6.0]), 3.0)
    assert (found["return_mean"], found["return_min"], found["return_max"]) == (3.0, 1.0, 6.0)
    assert found["return_std"] == pytest.approx(np.sqrt(14 / 3))
    assert (found["length_mean"], found["episodes"], found["solved"]) == (2.5, 4, True)
    assert found["return_ci95_low"] < 3.0 < found["return_ci95_high"]


def test_the_interval_is_that_of_the_mean():
    returns = np.random.default_rng(0).normal(10, 4, 400)
    found = summary(result_of(returns), None)
    half = 1.96 * returns.std() / np.sqrt(400)
    assert found["return_ci95_low"] == pytest.approx(returns.mean() - half, abs=0.08)
    assert found["return_ci95_high"] == pytest.approx(returns.mean() + half, abs=0.08)
    assert found == summary(result_of(returns), None)


@pytest.mark.parametrize("returns", [[5.0], [5.0, 5.0, 5.0]])
def test_returns_without_spread_have_an_interval_without_width(returns):
    found = summary(result_of(returns), 6.0)
    assert found["return_ci95_low"] == found["return_ci95_high"] == 5.0
    assert found["return_std"] == 0.0 and found["solved"] is False


def test_nothing_is_solved_where_nobody_says_what_solved_is():
    assert summary(result_of([1e9]), None)["solved"] is False


@pytest.mark.parametrize(
    "real, dreamt, correlation",
    [
        ([1, 2, 3, 40], [-5, 0, 1, 2], 1.0),
        ([1, 2, 3, 40], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4], [2, 1, 4, 3], 0.6),
        ([1, 2, 3], [2, np.nan, 4], 1.0),
        ([1, 2, 3], [2, 2, 2], 0.0),
        ([1], [2], 0.0),
    ],
)
def test_the_dream_check_correlates_ranks(real, dreamt, correlation):
    check = dream_check(real, dreamt)
    assert check.rank_correlation == pytest.approx(correlation)
    assert check.kept.tolist() == np.isfinite(dreamt).tolist()
    np.testing.assert_array_equal(check.dream, np.array(dreamt)[check.kept])
    np.testing.assert_array_equal(check.real, np.array(real)[check.kept])


def test_the_dream_check_measures_slope_and_error():
    check = dream_check([0.0, 10.0, 20.0], [5.0, 7.0, 9.0])
    assert check.slope == pytest.approx(0.2)
    assert check.mean_error == pytest.approx((5 + 3 + 11) / 3)


PIXELS = EnvConfig(id="tests.environments:CountingPixels-v0", crop=[0, 90, 0, 70], max_steps=7)


def test_the_score_is_taken_where_the_training_was_unless_another_place_is_named():
    spec, elsewhere = spec_of(PIXELS), EvaluateConfig(env_id="tests.environments:DoublingPixels-v0")
    assert (scoring_env(PIXELS, EvaluateConfig()), scoring_spec(PIXELS, EvaluateConfig(), spec)) == (PIXELS, spec)
    scored = scoring_env(PIXELS, elsewhere)
    assert scored.id == elsewhere.env_id and (scored.crop, scored.max_steps) == (PIXELS.crop, PIXELS.max_steps)
    assert scoring_spec(PIXELS, elsewhere, spec).solved_return == 90 != spec.solved_return


@pytest.mark.parametrize(
    "env_id, said",
    [
        ("tests.environments:CountingState-v0", "its observation is state, that of env.id = .* is pixel"),
        ("ALE/Pong-v5", "its action_dim is 6, that of env.id = .* is 2"),
        ("LunarLander-v2", "no such environment; nearest are LunarLander-v3"),
        ("tests.nowhere:Pixels-v0", "module 'tests.nowhere' cannot be imported"),
    ],
)
def test_an_environment_that_the_agent_does_not_fit_cannot_score_it(env_id, said):
    with pytest.raises(ParamError, match=f"^evaluate.env_id = '{env_id}': {said}") as caught:
        scoring_spec(PIXELS, EvaluateConfig(env_id=env_id), spec_of(PIXELS))
    assert "\n" not in str(caught.value)
