import numpy as np
import pytest

from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import rollout, score

COUNTING = EnvConfig(id="tests.environments:CountingState-v0", kwargs={"jitter": 6})


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__slots__)


class Recall(RandomPolicy):
    """Records the calls it gets."""

    name = "recall"

    def begin(self, seeds):
        super().begin(seeds)
        self.asked = {slot: [] for slot in range(len(seeds))}

    def act(self, obs, slots):
        for row, slot in zip(obs, slots, strict=True):
            self.asked[int(slot)].append(row)
        return super().act(obs, slots)


def test_each_slot_sees_its_own_episode_in_order():
    policy = Recall(spec_of(COUNTING))
    episodes = rollout(COUNTING, policy, [0, 1, 2, 3])
    assert len({len(episode) for episode in episodes}) > 1  # they end at different times
    for slot, episode in enumerate(episodes):
        np.testing.assert_array_equal(np.stack(policy.asked[slot]), episode.obs[:-1])
        np.testing.assert_array_equal(episode.obs[:, 0], np.arange(len(episode) + 1))
        np.testing.assert_array_equal(episode.obs[1:, 1], episode.action)  # obs[t+1] shows action[t]
        np.testing.assert_array_equal(episode.reward, np.arange(len(episode)))
        assert (episode.seed, episode.policy) == (slot, "recall")


@pytest.mark.parametrize("config", [COUNTING, EnvConfig(), EnvConfig(id="CarRacing-v3", skip_start=3)])
def test_an_episode_depends_on_its_seed_not_on_its_company(config):
    policy = RandomPolicy(spec_of(config))
    together = rollout(config, policy, [5, 6, 7], max_steps=12)
    again = rollout(config, policy, [7, 5], max_steps=12)
    assert same(together[0], again[1]) and same(together[2], again[0])
    assert not np.array_equal(together[0].obs[0], together[1].obs[0]) or config is COUNTING


def test_sticky_atari_is_deterministic_for_a_seed():
    config = EnvConfig(id="ALE/Pong-v5", kwargs={"frameskip": 1}, frame_skip=4, max_pool=True, noop_max=30)
    policy = RandomPolicy(spec_of(config))
    one, two = (rollout(config, policy, [seed], max_steps=30)[0] for seed in (9, 9))
    assert same(one, two)


def test_a_cap_truncates():
    episodes = rollout(COUNTING, RandomPolicy(spec_of(COUNTING)), [0, 1], max_steps=4)
    for episode in episodes:
        assert len(episode) == 4 and episode.truncated.tolist() == [False] * 3 + [True]
        assert not episode.terminated.any()


def test_patience_ends_where_nothing_is_won():
    config = EnvConfig(id="tests.environments:Wins-v0", kwargs={"length": 40})
    policy = RandomPolicy(spec_of(config))
    assert [len(rollout(config, policy, [0], patience=steps)[0]) for steps in (0, 4, 6, 7)] == [40, 8, 16, 17]
    episode = rollout(config, policy, [0], patience=4)[0]
    assert episode.truncated.tolist() == [False] * 7 + [True] and not episode.terminated.any()


def test_the_cap_and_the_end_on_the_same_step_are_both_told():
    config = EnvConfig(id="tests.environments:CountingState-v0")
    last = rollout(config, RandomPolicy(spec_of(config)), [0], max_steps=10)[0]
    assert last.terminated[-1] and last.truncated[-1]


def test_score_is_the_rollout_without_its_observations():
    config = EnvConfig()
    policy = RandomPolicy(spec_of(config))
    for episode, tally in zip(rollout(config, policy, [1, 2]), score(config, policy, [1, 2]), strict=True):
        assert tally.episode_return == pytest.approx(episode.episode_return, rel=1e-12)
        assert tally.length == len(episode)
        assert (tally.terminated, tally.truncated) == (episode.terminated[-1], episode.truncated[-1])


def test_no_seeds_no_episodes():
    assert rollout(COUNTING, RandomPolicy(spec_of(COUNTING)), []) == []
