import json

import gymnasium as gym
import numpy as np
import pytest

from tests.environments import CountingState
from worldmodels.common.params import ParamError
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import rollout
from worldmodels.environment.spec import EnvSpec

BOX = EnvSpec(
    id="x", observation="state", obs_shape=(2,), action="box", action_dim=2, action_low=(-1, 0), action_high=(1, 4)
)
DISCRETE = EnvSpec(id="x", observation="state", obs_shape=(2,), action="discrete", action_dim=3, action_start=5)

ATARI = {"kwargs": {"frameskip": 1}, "frame_skip": 4, "max_pool": True, "noop_max": 30}


@pytest.mark.parametrize(
    ("config", "observation", "obs_shape", "action", "action_dim", "solved"),
    [
        (EnvConfig(), "state", (8,), "discrete", 4, 200),
        (EnvConfig(kwargs={"continuous": True}), "state", (8,), "box", 2, 200),
        (EnvConfig(id="CarRacing-v3"), "pixel", (64, 64, 3), "box", 3, 900),
        (EnvConfig(id="CarRacing-v3", kwargs={"continuous": False}), "pixel", (64, 64, 3), "discrete", 5, 900),
        (EnvConfig(id="ALE/Pong-v5", **ATARI), "pixel", (64, 64, 3), "discrete", 6, None),
        (EnvConfig(id="ALE/Breakout-v5", **ATARI), "pixel", (64, 64, 3), "discrete", 4, None),
        (EnvConfig(id="CartPole-v1", max_steps=77, solved_return=70.0), "state", (4,), "discrete", 2, 70),
        (EnvConfig(id="FrozenLake-v1"), "state", (16,), "discrete", 4, 0.7),
        (EnvConfig(id="Pendulum-v1", frame_skip=3), "state", (3,), "box", 1, None),
    ],
)
def test_spec_is_found_from_the_spaces_and_true_of_an_episode(
    config, observation, obs_shape, action, action_dim, solved
):
    spec = spec_of(config)
    assert (spec.observation, spec.obs_shape) == (observation, obs_shape)
    assert (spec.action, spec.action_dim) == (action, action_dim)
    assert spec.solved_return == solved
    episode = rollout(config, RandomPolicy(spec), [1], max_steps=2)[0]
    assert episode.obs.shape[1:] == obs_shape
    assert episode.obs.dtype == (np.uint8 if observation == "pixel" else np.float32)
    assert episode.action.dtype == (np.int64 if action == "discrete" else np.float32)


@pytest.mark.parametrize("spec", [BOX, DISCRETE])
def test_spec_survives_json(spec):
    assert EnvSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_discrete_actions_are_one_hot_from_their_first_number():
    action = np.array([[5, 7], [6, 5]])
    encoded = DISCRETE.encode_action(action)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded[0], [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(DISCRETE.decode_action(encoded), action)
    assert DISCRETE.decode_action(encoded).dtype == np.int64
    assert DISCRETE.action_space().contains(DISCRETE.decode_action(np.array([0.1, 0.2, 0.3])))


def test_box_actions_are_scaled_to_minus_one_one():
    corners = np.array([[-1, 0], [1, 4], [0, 2]], np.float32)
    np.testing.assert_allclose(BOX.encode_action(corners), [[-1, -1], [1, 1], [0, 0]])
    np.testing.assert_allclose(BOX.decode_action(BOX.encode_action(corners)), corners)
    out_of_range = BOX.decode_action(np.array([3.0, -2.0]))
    assert BOX.action_space().contains(out_of_range)
    np.testing.assert_array_equal(out_of_range, [1, 0])


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.MultiDiscrete([9, 9]),
        gym.spaces.MultiBinary(7),
        gym.spaces.Box(-np.inf, np.inf, (2,)),
        gym.spaces.Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (2,)),
        gym.spaces.Box(0, 9, (2,), np.int64),
        gym.spaces.Dict({"a": gym.spaces.Discrete(2)}),
    ],
)
def test_unsupported_actions_are_named(space):
    class Odd(CountingState):
        action_space = space

    gym.register("OddActions-v0", lambda **kwargs: Odd())
    with pytest.raises(ParamError, match=r"OddActions-v0.*accepted: Discrete, MultiDiscrete or MultiBinary of at"):
        spec_of(EnvConfig(id="OddActions-v0"))
    del gym.registry["OddActions-v0"]
