from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pydantic import ValidationError

from tests.environments import CountingState
from worldmodels.common.params import ParamError
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.make import EnvironmentFault, make_env
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import rollout

PIXELS = "tests.environments:CountingPixels-v0"
STATE = "tests.environments:CountingState-v0"


def play(**settings):
    config = EnvConfig(**settings)
    return rollout(config, RandomPolicy(spec_of(config)), [3])[0]


def numbers(episode):
    """The step number in each frame, after checking that all its pixels are equal."""
    frames = episode.obs
    assert (frames == frames[:, :1, :1, :1]).all()
    return frames[:, 0, 0, 0].tolist()


def test_frames_are_64_by_64_rgb_and_aligned():
    episode = play(id=PIXELS)
    assert episode.obs.shape == (11, 64, 64, 3) and episode.obs.dtype == np.uint8
    assert numbers(episode) == list(range(11))
    assert episode.reward.tolist() == list(range(10))
    assert episode.terminated.tolist() == [False] * 9 + [True] and not episode.truncated.any()


def test_a_skipped_step_sums_rewards_and_shows_its_last_frame():
    episode = play(id=PIXELS, frame_skip=4)
    assert numbers(episode) == [0, 4, 8, 10]  # the episode ends within the third step
    assert episode.reward.tolist() == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7, 8 + 9]


def test_max_pool_takes_the_maximum_of_the_last_two_frames():
    plain = play(id=PIXELS, frame_skip=2, kwargs={"length": 260})
    pooled = play(id=PIXELS, frame_skip=2, max_pool=True, kwargs={"length": 260})
    assert numbers(plain)[126:131] == [252, 254, 0, 2, 4]
    assert numbers(pooled)[126:131] == [252, 254, 255, 2, 4]  # frame 256 has the value 0; the maximum is frame 255


def test_idle_start_is_not_shown_and_its_rewards_are_not_lost():
    episode = play(id=PIXELS, skip_start=4)
    assert numbers(episode) == list(range(4, 11))
    assert episode.reward[0] == 0 + 1 + 2 + 3 + 4 and episode.episode_return == sum(range(10))


def test_noops_are_drawn_from_the_seed():
    env = make_env(EnvConfig(id=STATE, noop_max=5))
    starts = [env.reset(seed=seed)[0][0] for seed in range(40)]
    assert starts == [env.reset(seed=seed)[0][0] for seed in range(40)]
    assert set(starts) == set(range(6))


def test_an_episode_over_before_it_began_is_begun_again():
    env = make_env(EnvConfig(id=STATE, skip_start=12, kwargs={"length": 10}))
    assert env.reset(seed=0)[0][0] == 2
    assert env.step(0)[1] == 0 + 1 + 2


def test_own_limit_truncates_and_replaces_the_registered_one():
    episode = play(id=STATE, max_steps=4)
    assert len(episode) == 4 and episode.truncated[-1] and not episode.terminated.any()
    long = play(id="tests.environments:CountingBox-v0", max_steps=1200, kwargs={"length": 1100})  # registered: 1000
    assert len(long) == 1100 and long.terminated[-1]


def test_crop_keeps_the_named_part():
    class Halves(gym.Env):
        observation_space = gym.spaces.Box(0, 255, (80, 100), np.uint8)
        action_space = gym.spaces.Discrete(1)

        def reset(self, *, seed=None, options=None):
            frame = np.zeros((80, 100), np.uint8)
            frame[10:70, 20:90] = 200
            return frame, {}

    gym.register("Halves-v0", lambda **kwargs: Halves())
    whole = make_env(EnvConfig(id="Halves-v0")).reset(seed=0)[0]
    part = make_env(EnvConfig(id="Halves-v0", crop=[10, 70, 20, 90])).reset(seed=0)[0]
    assert whole.min() == 0 and whole.shape == (64, 64, 3)
    assert (part == 200).all() and part.shape == (64, 64, 3)
    with pytest.raises(ParamError, match=r"env\.crop = \[10, 81, 20, 90\]: frames are 80 high and 100 wide"):
        make_env(EnvConfig(id="Halves-v0", crop=[10, 81, 20, 90]))


def test_rendered_pixels_stand_in_for_a_state():
    episode = play(id=STATE, pixels=True)
    assert numbers(episode) == list(range(11))
    with pytest.raises(ParamError, match="120 high and 90 wide"):
        spec_of(EnvConfig(id=STATE, pixels=True, crop=[0, 121, 0, 90]))


def test_render_gives_frames_for_videos():
    env = make_env(EnvConfig(id=STATE), render=True)
    env.reset(seed=0)
    frame = env.render()
    assert isinstance(frame, np.ndarray) and frame.shape == (120, 90, 3)


def test_a_reused_array_is_not_remembered():
    class Reusing(CountingState):
        def reset(self, **kwargs):
            self.array = super().reset(**kwargs)[0]
            return self.array, {}

        def step(self, action):
            self.array[:], reward, terminated, truncated, info = super().step(action)
            return self.array, reward, terminated, truncated, info

    gym.register("Reusing-v0", lambda **kwargs: Reusing())
    assert play(id="Reusing-v0").obs[:, 0].tolist() == list(range(11))


def test_a_serve_is_pressed_after_a_reset_and_after_a_lost_life_and_its_rewards_are_not_lost():
    env = make_env(EnvConfig(id="tests.environments:Lives-v0", serve=2))
    first, _ = env.reset(seed=0)
    assert first.tolist()[:2] == [1, 2]  # one step was taken, with action 2
    seen = [env.step(0) for _ in range(4)]
    # lives are lost with steps 3, 6 and 9; a serve follows each but the one that ends the episode
    assert [obs.tolist()[:2] for obs, *_ in seen] == [[2, 0], [4, 2], [5, 0], [7, 2]]
    assert [reward for _, reward, *_ in seen] == [0 + 1, 2 + 3, 4, 5 + 6]


def test_a_serve_lasts_a_step_s_frames():
    env = make_env(EnvConfig(id="tests.environments:Lives-v0", serve=2, frame_skip=2))
    assert env.reset(seed=0)[0].tolist()[:2] == [2, 2]
    assert env.step(1)[0].tolist()[:2] == [6, 2]  # step 3 loses a life; steps 5 and 6 are the serve


def test_what_is_known_is_recorded_beside_each_observation():
    truth = {"number": "count", "lives": "lives", "while_odd": ["count", "odd"], "early": ["lives", "count", 4]}
    episode = play(id="tests.environments:Lives-v0", truth=truth)
    assert spec_of(EnvConfig(id="tests.environments:Lives-v0", truth=truth)).truth == tuple(truth)
    assert episode.truth is not None and episode.truth.dtype == np.float32
    steps = [[t, 9 - t // 3, t if t % 2 else np.nan, 9 - t // 3 if t < 4 else np.nan] for t in range(1, 11)]
    expected = [[np.nan, 9, np.nan, np.nan], *steps]
    np.testing.assert_array_equal(episode.truth, np.array(expected, np.float32))
    assert play(id="tests.environments:Lives-v0").truth is None


@pytest.mark.parametrize("source", [[1], [1, 2, "lives"], [1, 2, 3, 4]])
def test_a_source_has_at_most_a_condition_and_its_limit(source):
    with pytest.raises(ValueError, match=r"truth\.x = .*: expected a source, a pair of sources, or such a pair and a"):
        EnvConfig(truth={"x": source})


def test_bytes_of_a_game_s_memory():
    config = EnvConfig(id="ALE/Pong-v5", truth={"opponent": 50, "own": 51})
    env = make_env(config)
    env.reset(seed=0)
    for _ in range(5):
        _, _, _, _, info = env.step(0)
        assert info["truth"].tolist() == env.unwrapped.ale.getRAM()[[50, 51]].tolist()  # pyright: ignore


@pytest.mark.parametrize(
    ("env_id", "truth", "message"),
    [
        (STATE, {"x": 3}, r"env.truth.x = 3: .*a byte of an Atari game's memory"),
        ("ALE/Pong-v5", {"x": 128}, "env.truth.x = 128: .*0 to 127"),
        ("tests.environments:Lives-v0", {"x": "text"}, "env.truth.x = 'text': .*with a number"),
        ("tests.environments:Lives-v0", {"x": "live"}, "env.truth.x = 'live': .*accepted: count, lives, odd, text"),
    ],
)
def test_what_cannot_be_known_is_named(env_id, truth, message):
    with pytest.raises(ParamError, match=message):
        spec_of(EnvConfig(id=env_id, truth=truth))


@pytest.mark.filterwarnings("ignore:.*WARN")  # warnings that it is wrapped, and that states have no bounds
@pytest.mark.parametrize("config", [EnvConfig(id=PIXELS, frame_skip=2), EnvConfig(id=STATE), EnvConfig(max_steps=50)])
def test_gymnasium_finds_nothing_wrong(config):
    check_env(make_env(config, render=True), skip_render_check=True)


@pytest.mark.parametrize(
    ("env_id", "successors"),
    [
        ("LunarLander-v2", ["LunarLander-v3"]),
        ("CarRacing-v2", ["CarRacing-v3"]),
        ("PongNoFrameskip-v5", ["PongNoFrameskip-v4", "ALE/Pong-v5"]),
        ("lunarlander-v3", ["LunarLander-v3"]),
        ("CartPole", ["CartPole-v1"]),
        ("Breakuot-v5", ["ALE/Breakout-v5"]),
        ("tests.environments:CountingState-v1", ["CountingState-v0"]),
        ("???", ["LunarLander-v3"]),
    ],
)
def test_an_unknown_id_names_the_nearest(env_id, successors):
    with pytest.raises(ParamError) as error:
        make_env(EnvConfig(id=env_id))
    assert env_id in str(error.value) and "\n" not in str(error.value)
    for successor in successors:
        assert successor in str(error.value)


def test_an_unknown_module_is_named():
    with pytest.raises(ParamError, match="module 'no_such_module' cannot be imported"):
        make_env(EnvConfig(id="no_such_module:Env-v0"))


def test_kwargs_it_does_not_take_are_named():
    with pytest.raises(ParamError, match=r"env\.kwargs = \{'gravty': -5.0\}.*unexpected keyword"):
        make_env(EnvConfig(kwargs={"gravty": -5.0}))


class Recording(CountingState):
    """Keeps the actions it gets, and changes them; without an end."""

    def __init__(self, **kwargs):
        super().__init__(length=10**9)
        self.given = []

    def step(self, action):
        self.given.append(np.copy(action) if isinstance(action, np.ndarray) else action)
        if isinstance(action, np.ndarray):
            action[...] = 7
        return super().step(0)


def recording(space):
    """``make_env``'s environment with these actions, and what it is given."""
    if "Recording-v0" in gym.registry:
        del gym.registry["Recording-v0"]
    gym.register("Recording-v0", lambda **kwargs: Recording())
    made = type("Made", (Recording,), {"action_space": space})
    gym.registry["Recording-v0"].entry_point = lambda **kwargs: made()
    env = make_env(EnvConfig(id="Recording-v0", max_steps=50))
    env.reset(seed=0)
    return env, env.unwrapped.given  # pyright: ignore[reportAttributeAccessIssue]


def test_an_action_is_of_the_type_that_the_space_samples_and_may_be_changed():
    env, given = recording(gym.spaces.Discrete(3, start=2))
    env.step(3)
    assert given == [3] and type(given[0]) is type(env.action_space.sample()) is np.int64
    env, given = recording(gym.spaces.Box(-1, 1, (2,), np.float32))
    action = np.array([0.25, -1], np.float32)
    env.step(action)
    assert action.tolist() == given[0].tolist() == [0.25, -1] and given[0].dtype == np.float32


@pytest.mark.parametrize(
    ("space", "count", "last"),
    [
        (gym.spaces.MultiDiscrete([2, 3]), 6, [1, 2]),
        (gym.spaces.MultiDiscrete(np.array([[2, 3], [2, 1]])), 12, [[1, 2], [1, 0]]),
        (gym.spaces.MultiDiscrete([2, 3], start=[5, 0]), 6, [6, 2]),
        (gym.spaces.MultiBinary(3), 8, [1, 1, 1]),
        (gym.spaces.MultiBinary((2, 2)), 16, [[1, 1], [1, 1]]),
    ],
)
def test_combinations_of_actions_are_numbered(space, count, last):
    env, given = recording(space)
    assert env.action_space == gym.spaces.Discrete(count)
    for action in range(count):
        env.step(action)
    assert all(space.contains(action) for action in given)
    assert len({action.tobytes() for action in given}) == count and given[-1].tolist() == last


def test_a_box_of_actions_is_flattened():
    env, given = recording(gym.spaces.Box(-1, 1, (2, 3), np.float32))
    assert env.action_space.shape == (6,)
    env.step(np.arange(6, dtype=np.float32) / 6)
    assert given[0].shape == (2, 3) and given[0].ravel().tolist() == pytest.approx([i / 6 for i in range(6)])


def test_an_episode_without_a_limit_gets_one():
    class Endless(CountingState):
        def __init__(self, **kwargs):
            super().__init__(length=10**9)

    gym.register("Endless-v0", lambda **kwargs: Endless())
    env = make_env(EnvConfig(id="Endless-v0"))
    env.reset(seed=0)
    steps = next(step for step in range(1, 20_000) if env.step(0)[3])
    assert steps == 10_000
    del gym.registry["Endless-v0"]


@pytest.mark.parametrize("reward", [3, np.int8(3), np.float32(3), np.array(3.0), np.array([3]), True * 3])
def test_a_reward_is_any_number(reward):
    class Paying(CountingState):
        def step(self, action) -> Any:
            obs, _, *rest = super().step(action)
            return obs, reward, *rest

    gym.register("Paying-v0", lambda **kwargs: Paying())
    env = make_env(EnvConfig(id="Paying-v0", frame_skip=2))
    env.reset(seed=0)
    assert env.step(0)[1] == 6 and type(env.step(0)[1]) is float
    del gym.registry["Paying-v0"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("reward", np.nan, r"reward: nan is not one finite number"),
        ("reward", np.array([1.0, 2.0]), r"reward: \[1. 2.\] is not one finite number"),
        ("observation", np.array([1, np.inf, 0]), "observation: it has a number that is not finite, inf"),
        ("observation", np.zeros(2), r"observation: it has shape \(2,\), its space \(3,\)"),
    ],
)
def test_numbers_that_no_stage_can_use_name_seed_step_and_field(field, value, message):
    class Faulty(CountingState):
        def step(self, action) -> Any:
            obs, reward, *rest = super().step(action)
            broken = {"observation": obs, "reward": reward} | ({field: value} if self.count == 8 else {})
            return broken["observation"], broken["reward"], *rest

    gym.register("Faulty-v0", lambda **kwargs: Faulty())
    config = EnvConfig(id="Faulty-v0", frame_skip=2)
    with pytest.raises(EnvironmentFault, match=rf"env.id = 'Faulty-v0', seed 3, step 8: {message}"):
        rollout(config, RandomPolicy(spec_of(config)), [3])
    del gym.registry["Faulty-v0"]


@pytest.mark.parametrize(
    "settings",
    [
        {"crop": [1, 2, 3]},
        {"crop": [5, 5, 0, 9]},
        {"crop": [-1, 5, 0, 9]},
        {"max_pool": True},
        {"max_pool": True, "frame_skip": 2, "pixels": True},
        {"frame_skip": 0},
        {"frameskip": 4},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        EnvConfig(**settings)
