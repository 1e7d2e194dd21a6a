import pickle

import numpy as np
import pytest
from scipy import stats

from worldmodels.environment.policy import BrownianPolicy, RandomPolicy
from worldmodels.environment.spec import EnvSpec

BOX = EnvSpec(
    id="x", observation="state", obs_shape=(2,), action="box", action_dim=2, action_low=(-1, 0), action_high=(1, 4)
)
DISCRETE = EnvSpec(id="x", observation="state", obs_shape=(2,), action="discrete", action_dim=3, action_start=5)


def acted(policy, seeds, steps):
    """(steps, slots, …) actions of a policy that plays every seed's episode to the end."""
    policy.begin(seeds)
    slots = np.arange(len(seeds))
    return np.stack([policy.act(np.zeros((len(seeds), 2)), slots) for _ in range(steps)])


@pytest.mark.parametrize("spec", [BOX, DISCRETE])
@pytest.mark.parametrize("kind", [RandomPolicy, BrownianPolicy])
def test_a_slot_depends_on_its_seed_alone(kind, spec):
    together = acted(kind(spec), [1, 2, 3], 20)
    alone = acted(pickle.loads(pickle.dumps(kind(spec))), [2], 20)
    np.testing.assert_array_equal(together[:, 1], alone[:, 0])
    assert (together[:, 0] != together[:, 1]).any()
    policy = kind(spec)
    policy.begin([1, 2, 3])
    policy.act(np.zeros((3, 2)), np.arange(3))
    later = policy.act(np.zeros((1, 2)), np.array([1]))  # the others have finished
    np.testing.assert_array_equal(later[0], alone[1, 0])


@pytest.mark.parametrize("spec", [BOX, DISCRETE])
@pytest.mark.parametrize("kind", [RandomPolicy, BrownianPolicy])
def test_begin_forgets(kind, spec):
    policy = kind(spec)
    np.testing.assert_array_equal(acted(policy, [1, 2], 5), acted(policy, [1, 2], 5))


def test_uniform_is_uniform():
    counts = np.bincount(acted(RandomPolicy(DISCRETE), [0], 3000).ravel() - 5, minlength=3)
    assert stats.chisquare(counts).pvalue > 0.01
    actions = acted(RandomPolicy(BOX), [0], 3000)[:, 0]
    assert stats.kstest(actions[:, 0], stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert stats.kstest(actions[:, 1], stats.uniform(0, 4).cdf).pvalue > 0.01


def test_brownian_walks_in_the_box():
    encoded = BOX.encode_action(acted(BrownianPolicy(BOX, step_std=0.1), range(20), 500))  # (steps, slots, A)
    steps = np.diff(encoded, axis=0)
    inside = (np.abs(encoded[1:]) < 1) & (np.abs(encoded[:-1]) < 0.5)  # not affected by clipping
    assert steps[inside].std() == pytest.approx(0.1, rel=0.05)
    assert np.abs(encoded).max() <= 1 and encoded.std() > 0.4


def test_brownian_keeps_a_discrete_action_with_each_episode_s_own_probability():
    actions = acted(BrownianPolicy(DISCRETE, keep=0.9), range(200), 500)
    assert set(np.unique(actions)) == {5, 6, 7}
    same = (actions[1:] == actions[:-1]).mean(0)
    kept = (same - 1 / 3) / (2 / 3)  # a fresh draw may be the same action
    assert stats.kstest(kept, stats.uniform(0, 0.9).cdf).pvalue > 0.01
    assert kept.min() < 0.05 and kept.max() > 0.85
