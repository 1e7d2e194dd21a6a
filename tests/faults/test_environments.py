"""Environments drawn at random: each is played, or refused in one line, in the first seconds."""

import collections
import warnings

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import HealthCheck, given, settings

from tests.faults.generated import WORLDS, Generated, World
from worldmodels.common.params import UserError
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import rehearse, spec_of
from worldmodels.environment.policy import BrownianPolicy, RandomPolicy
from worldmodels.environment.rollout import rollout

ID = "Generated-v0"
COUNT = 200  # `python -m tests.faults` draws more


def sound(world: World) -> bool:
    """Whether it has to be played; of Dicts and Tuples some have too many numbers."""
    harmless = {"same array", "read-only", "changes its action", "no end", "draws grey", "draws nothing", "cannot draw"}
    numbers = {"float", "int", "bool", "float32", "int8", "0-d", "one element"}
    action = world.action
    acts = isinstance(action, (Discrete, MultiBinary, MultiDiscrete)) or (
        isinstance(action, Box) and action.dtype.kind == "f" and np.abs([action.low, action.high]).max() < 1e30
    )
    sees = not isinstance(world.observation, (Dict, Tuple))
    return acts and sees and world.reward in numbers and world.quirks <= harmless


def outcome(world: World) -> str:
    """``played``, or why it was refused; anything but a ``UserError`` is raised."""
    gym.registry.pop(ID, None)
    gym.register(ID, lambda **kwargs: Generated(world, **kwargs))
    config = EnvConfig(id=ID, max_steps=40)
    try:
        rehearse(config, films=True)
        spec = spec_of(config)
    except UserError as error:
        assert "\n" not in str(error) and ID in str(error), error
        return str(error)
    for policy in (RandomPolicy(spec), BrownianPolicy(spec)):
        for episode in rollout(config, policy, [3, 4]):
            assert episode.obs.shape == (len(episode) + 1, *spec.obs_shape)
            assert episode.obs.dtype == (np.uint8 if spec.observation == "pixel" else np.float32)
            assert np.isfinite(episode.obs).all() and np.isfinite(episode.reward).all()
            assert len(episode) == (40 if "no end" in world.quirks else min(world.length, 40))
            again = spec.decode_action(spec.encode_action(episode.action))
            assert np.allclose(again, episode.action, atol=1e-5)
            assert all(spec.action_space().contains(action) for action in episode.action)
    return "played"


def played(count: int) -> collections.Counter[str]:
    """So many environments: how many were played, and how many refused in one line. Anything else is raised."""
    outcomes: collections.Counter[str] = collections.Counter()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    @given(WORLDS)
    def play(world: World) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = outcome(world)
        assert found == "played" or not sound(world), found
        outcomes["played" if found == "played" else "refused"] += 1

    play()
    return outcomes


def test_each_is_played_or_refused_in_one_line() -> None:
    outcomes = played(COUNT)
    assert outcomes.total() >= COUNT and min(outcomes["played"], outcomes["refused"]) > COUNT // 8
