"""Tests of the rehearsal: what a later stage would stumble over is said in the first seconds."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.environments import CountingState
from worldmodels.common.params import ParamError
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import rehearse
from worldmodels.environment.make import EnvironmentFault

ID = "Rehearsed-v0"


@pytest.fixture
def registered() -> Iterator[None]:
    yield
    gym.registry.pop(ID, None)


def rehearsed(env_class: type, *, films: bool = False, **settings) -> list[str]:
    gym.register(ID, lambda **kwargs: env_class(**kwargs), max_episode_steps=50)
    return rehearse(EnvConfig(id=ID, **settings), films=films)


class OldStep(CountingState):
    def step(self, action) -> Any:
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class OldReset(CountingState):
    def reset(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().reset()[0]


class NoInfo(CountingState):
    def reset(self, **kwargs) -> Any:
        return super().reset(**kwargs)[0]


class Raising(CountingState):
    def step(self, action) -> Any:
        if self.count == 5:
            raise RuntimeError("the wheel\ncame off")
        return super().step(action)


class NotFinite(CountingState):
    def step(self, action) -> Any:
        obs, *rest = super().step(action)
        return obs / np.float32(self.count != 6), *rest


@pytest.mark.usefixtures("registered")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("env_class", "message"),
    [
        (OldStep, r"env.id = 'Rehearsed-v0': step returned 4 values; accepted: gymnasium.Env, whose reset\(seed"),
        (OldReset, r"reset\(seed=0\): .*unexpected keyword argument 'seed'; accepted: gymnasium.Env"),
        (NoInfo, "reset returned no pair of observation and info; accepted: gymnasium.Env"),
    ],
)
def test_what_is_not_of_the_interface_is_one_line(env_class, message):
    with pytest.raises(ParamError, match=message) as error:
        rehearsed(env_class)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("registered")
@pytest.mark.filterwarnings("ignore")
def test_what_it_raises_is_one_line_with_the_place():
    where = r"seed 0, step 5: step: it raised RuntimeError: the wheel came off \(test_contract.py, line \d+\)$"
    with pytest.raises(EnvironmentFault, match=where):
        rehearsed(Raising)


@pytest.mark.usefixtures("registered")
@pytest.mark.filterwarnings("ignore")
def test_numbers_are_rehearsed():
    with pytest.raises(EnvironmentFault, match="seed 0, step 6: observation: it has a number that is not finite"):
        rehearsed(NotFinite)


def test_a_limit_that_is_missing_and_a_stack_of_pictures_are_said():
    assert rehearse(EnvConfig(id="CliffWalking-v1"), films=False) == [
        "CliffWalking-v1: it has no limit of steps: episodes are truncated after 10,000 (env.max_steps)"
    ]
    assert rehearse(EnvConfig(id="CliffWalking-v1", max_steps=100), films=False) == []
    stacked = "tests.environments:StackedPixels-v0"
    notes = rehearse(EnvConfig(id=stacked, max_steps=100), films=False)
    assert notes[0] == f"{stacked}: of its stacks of 4 pictures the last is taken"
    assert all(note.startswith(f"{stacked}: gymnasium's checker: ") for note in notes[1:]) and len(set(notes)) == len(
        notes
    )


class Undrawn(CountingState):
    def render(self):
        raise OSError("no display")


class NoRenderMode(CountingState):
    def __init__(self):
        super().__init__()


@pytest.mark.usefixtures("registered")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("env_class", "reason"), [(Undrawn, "no display"), (NoRenderMode, "unexpected keyword argument 'render_mode'")]
)
def test_an_environment_that_cannot_draw_gets_no_films(env_class, reason):
    *_, last = rehearsed(env_class, films=True)
    assert last.startswith(f"{ID}: there will be no films, for it does not draw: ") and reason in last
    gym.registry.pop(ID)
    assert not any("films" in note for note in rehearsed(env_class))
    gym.registry.pop(ID)
    assert not any("films" in note for note in rehearsed(CountingState, films=True))


@pytest.mark.usefixtures("registered")
@pytest.mark.filterwarnings("ignore")
def test_actions_that_are_not_supported_are_named_before_they_are_tried():
    class Odd(CountingState):
        action_space = gym.spaces.Dict({"a": gym.spaces.Discrete(2)})

    with pytest.raises(ParamError, match=r"action space Dict.* is not supported; accepted: Discrete, MultiDiscrete"):
        rehearsed(Odd)
