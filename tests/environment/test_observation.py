"""Tests of the forms of observations: what is a picture, what a state, and what becomes of both."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from worldmodels.common.params import ParamError
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.observation import frame_of, observed

COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
GREY = COLOURS[..., 0]
LIKE = {"rgb": COLOURS, "grey": np.repeat(GREY[..., None], 3, -1)}


def stack(frame, count, axis):
    """``frame`` as the last of ``count`` along a new axis, or joined along the last axis where ``axis`` is None."""
    parts = [np.zeros_like(frame)] * (count - 1) + [frame]
    return np.concatenate(parts, -1) if axis is None else np.stack(parts, axis)


@pytest.mark.parametrize(
    ("obs", "like", "note"),
    [
        (COLOURS, "rgb", ""),
        (GREY, "grey", ""),
        (GREY[..., None], "grey", ""),
        (np.dstack([COLOURS, GREY]), "rgb", "alpha"),
        (np.moveaxis(COLOURS, -1, 0), "rgb", ""),
        (GREY[None], "grey", ""),
        (stack(GREY, 4, 0), "grey", "4 pictures the last"),
        (stack(GREY, 5, 0)[..., None], "grey", "5 pictures the last"),
        (stack(COLOURS, 3, None), "rgb", "3 pictures the last"),
        (stack(COLOURS, 4, 0), "rgb", "4 pictures the last"),
        (stack(np.moveaxis(COLOURS, -1, 0), 2, 0), "rgb", "2 pictures the last"),
    ],
)
@pytest.mark.parametrize("number", ["uint8", "float of 1", "float of 255", "int64"])
def test_pictures_in_every_layout_and_number(obs, like, note, number):
    high = 1 if number == "float of 1" else 255
    dtype = {"uint8": np.uint8, "int64": np.int64}.get(number, np.float32)
    given = (obs / 255 if high == 1 else obs).astype(dtype)
    seen = observed(Box(0, high, obs.shape, dtype), EnvConfig())
    assert seen.kind == "pixel" and seen.shape == (24, 32, 3) and note in seen.note and bool(note) == bool(seen.note)
    frame = seen.convert(given)
    assert frame.dtype == np.uint8 and np.array_equal(frame, LIKE[like])


@pytest.mark.parametrize(
    ("space", "obs", "state"),
    [
        (Box(-1, 1, (2, 2), np.float64), np.array([[1, 2], [3, 4.0]]), [1, 2, 3, 4]),
        (Box(0, 255, (5,), np.uint8), np.arange(5, dtype=np.uint8), [0, 1, 2, 3, 4]),
        (Box(0, 1, (8, 8, 6), np.int8), np.ones((8, 8, 6), np.int8), [1] * 384),
        (Box(0, 255, (), np.uint8), np.uint8(7), [7]),
        (Box(0, 1, (3, 4, 2), np.int8), np.ones((3, 4, 2), np.int8), [1] * 24),
        (Discrete(3, start=5), 6, [0, 1, 0]),
        (MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
        (Dict({"b": Discrete(2), "a": Box(-9, 9, (2,))}), {"a": np.array([5, 6]), "b": 1}, [5, 6, 0, 1]),
        (Tuple([Discrete(2), Dict({"x": Box(0, 1, (1,))})]), (0, {"x": np.array([0.5])}), [1, 0, 0.5]),
    ],
)
def test_states_are_flat(space, obs, state):
    seen = observed(space, EnvConfig())
    assert seen.kind == "state" and seen.shape == (len(state),) and not seen.note
    assert seen.convert(obs).tolist() == state and seen.convert(obs).dtype == np.float32


def test_a_state_shares_no_memory_with_what_the_environment_keeps():
    obs = np.zeros(3, np.float32)
    assert not np.shares_memory(observed(Box(-1, 1, (3,)), EnvConfig()).convert(obs), obs)


@pytest.mark.parametrize(("key", "kind"), [("eye", "pixel"), ("body", "state")])
def test_a_key_takes_one_part(key, kind):
    space = Dict({"eye": Box(0, 255, (24, 32, 3), np.uint8), "body": Box(-1, 1, (2,))})
    obs = {"eye": COLOURS, "body": np.array([0.25, 0.5])}
    seen = observed(space, EnvConfig(key=key))
    assert seen.kind == kind and np.array_equal(seen.convert(obs), obs[key])
    for number in ("1", 1):
        assert observed(Tuple([Discrete(2), space["body"]]), EnvConfig(key=number)).shape == (2,)
    assert observed(Tuple([Discrete(2), space["body"]]), EnvConfig(key=0)).shape == (2,)
    with pytest.raises(ParamError, match=r"env.key = 'nose': no part of the observations of .*accepted: body, eye"):
        observed(space, EnvConfig(key="nose"))
    with pytest.raises(ParamError, match=r"it has no parts: env.key has to be empty"):
        observed(Discrete(2), EnvConfig(key="nose"))


def test_what_it_is_can_be_said():
    picture = Box(0, 255, (8, 8, 3), np.uint8)
    assert observed(picture, EnvConfig()).kind == "pixel"
    assert observed(picture, EnvConfig(observation="state")).shape == (192,)
    with pytest.raises(ParamError, match=r"Box.* is no picture, and env.observation = 'pixel'; pictures are H×W"):
        observed(Box(-1, 1, (8,)), EnvConfig(observation="pixel"))


@pytest.mark.parametrize(
    "space",
    [
        Box(-np.inf, np.inf, (84, 84, 3), np.float32),  # no bounds: what is white is not known
        Box(-1, 1, (84, 84, 3), np.float32),
        Box(0, 1, (5000,), np.float32),
        Dict({"eye": Box(0, 255, (84, 84, 3), np.uint8)}),
    ],
)
def test_a_state_that_would_fill_the_memory_is_refused_and_what_helps_is_named(space):
    with pytest.raises(ParamError, match=r"too many for a state \(at most 4,096\).*pictures are.*env.key.*env.pixels"):
        observed(space, EnvConfig())


def test_parts_that_are_no_numbers_are_named():
    with pytest.raises(ParamError, match=r"a\.1: Text is not supported; accepted: Box"):
        observed(Dict({"a": Tuple([Discrete(2), Text(3)])}), EnvConfig())


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (Box(-9, 9, (2,)), np.array([1.0, np.nan]), "not finite, nan"),
        (Box(-9, 9, (2,)), np.array([1.0, 1e39]), "not finite, inf"),
        (Box(-9, 9, (2,)), np.zeros(3), r"shape \(3,\), its space \(2,\)"),
        (Box(0, 1, (24, 32), np.float32), np.full((24, 32), np.inf, np.float32), "not finite, inf"),
        (Box(0, 255, (24, 32), np.uint8), np.full((24, 32), 0.7), "numbers of float64, its space of uint8"),
        (Box(0, 255, (24, 32, 3), np.uint8), np.zeros((24, 30, 3), np.uint8), r"shape \(24, 30, 3\), its space"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_observations_that_are_not_of_their_space(space, obs, message):
    with pytest.raises(ValueError, match=message):
        observed(space, EnvConfig()).convert(obs)


@pytest.mark.parametrize(
    ("drawn", "like"),
    [
        (COLOURS, "rgb"),
        (np.dstack([COLOURS, GREY]), "rgb"),
        (np.moveaxis(COLOURS, -1, 0), "rgb"),
        (GREY, "grey"),
        ([GREY, COLOURS], "rgb"),
        (COLOURS / 255, "rgb"),
        (COLOURS.astype(np.float64), "rgb"),
        (COLOURS.astype(np.int64), "rgb"),
        (COLOURS.tolist(), "rgb"),
    ],
)
def test_drawings_become_frames(drawn, like):
    frame = frame_of(drawn)
    assert frame.dtype == np.uint8 and np.array_equal(frame, LIKE[like])


@pytest.mark.parametrize("drawn", [None, "ansi", [], np.zeros(7), np.zeros((0, 3, 3)), np.full((24, 32), np.nan)])
def test_what_is_no_drawing_is_said(drawn):
    with pytest.raises(ValueError, match=r"no picture|not finite"):
        frame_of(drawn)


def test_gymnasium_s_own_stacks_are_understood():
    frames = gym.wrappers.FrameStackObservation(gym.make("tests.environments:CountingPixels-v0"), 3)
    seen = observed(frames.observation_space, EnvConfig())
    frames.reset(seed=0)
    for count in range(1, 4):
        assert (seen.convert(frames.step(0)[0]) == count).all() and seen.shape == (96, 80, 3)
