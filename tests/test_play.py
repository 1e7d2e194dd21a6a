"""Tests of the two worlds side by side, and of the window without a screen."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodels import load_agent, play
from worldmodels.common.params import UserError
from worldmodels.environment.spec import EnvSpec
from worldmodels.play import Session, controls, run

AGENTS = Path(__file__).parents[1] / "agents"
PONG = ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]


def spec(env_id: str, action: Any, dim: int) -> EnvSpec:
    bounds: dict[str, Any] = {"action_low": (-1.0,) * dim, "action_high": (1.0,) * dim} if action == "box" else {}
    return EnvSpec(id=env_id, observation="state", obs_shape=(3,), action=action, action_dim=dim, **bounds)


@pytest.fixture
def session():
    made = Session(AGENTS / "lunarlander", seed=4)
    yield made
    made.close()


def test_both_begin_at_the_same_state(session: Session) -> None:
    assert np.array_equal(session.reality.features, session.dreamt.features)
    session.tick()
    assert not np.array_equal(session.reality.features, session.dreamt.features)
    assert session.reality.steps == session.dreamt.steps == 1


def test_c_plays_in_reality_as_it_does_elsewhere(session: Session) -> None:
    agent = load_agent(AGENTS / "lunarlander")
    env = agent.make_env()
    obs, _ = env.reset(seed=4)
    agent.reset(seed=4)
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(agent.act(obs))
        total, over = total + float(reward), terminated or truncated
    while not session.reality.over:
        session.tick()
    assert session.reality.total == pytest.approx(total)


def test_who_drives_is_obeyed(session: Session) -> None:
    session.human = True
    for _ in range(30):
        session.tick(frozenset({"up"}))
    upwards = session.reality.features[3], session.dreamt.features[3]  # z of the vertical velocity
    session.reset(4)
    for _ in range(30):
        session.tick(frozenset())
    assert session.reality.features[3] < upwards[0] and session.dreamt.features[3] < upwards[1]


def test_another_temperature_is_another_dream(session: Session) -> None:
    def dreamt(temperature: float) -> np.ndarray:
        session.dreamt.temperature = temperature
        session.reset(4)
        for _ in range(10):
            session.tick()
        return session.dreamt.features

    assert np.array_equal(dreamt(1.0), dreamt(1.0))
    assert not np.array_equal(dreamt(1.0), dreamt(0.2))


@pytest.mark.parametrize(
    ("made", "meanings", "keys", "action"),
    [
        (spec("ALE/Pong-v5", "discrete", 6), PONG, {"up"}, 2),
        (spec("ALE/Pong-v5", "discrete", 6), PONG, {"down", "space"}, 5),
        (spec("ALE/Pong-v5", "discrete", 6), PONG, set(), 0),
        (spec("ALE/Pong-v5", "discrete", 6), PONG, {"4"}, 4),
        (spec("LunarLander-v3", "discrete", 4), [], {"up"}, 2),
        (spec("CartPole-v1", "discrete", 2), [], {"right"}, 1),
        (spec("MountainCar-v0", "discrete", 3), [], set(), 1),
        (spec("LunarLander-v3", "box", 2), [], {"up", "left"}, [1, -1]),
        (spec("CarRacing-v3", "box", 2), [], {"up", "left"}, [-1, 1]),
        (spec("Pendulum-v1", "box", 1), [], {"right"}, [1]),
    ],
)
def test_keys(made: EnvSpec, meanings: list[str], keys: set[str], action: Any) -> None:
    assert np.array_equal(controls(made, meanings)(frozenset(keys)), action)


def test_without_a_display_it_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setattr(play, "OFF_SCREEN", True)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(UserError, match="no display"):
        run(session)


def test_a_window_is_played_in_and_filmed(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setattr(play, "OFF_SCREEN", False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown, keys = [], iter(["f", "tab", "n", "n", "+", "d", "d", "d", "f", "r", "escape"])
    real = pygame.event.get

    def events() -> list:
        real()
        shown.append((session.human, session.view, session.dreamt.steps, session.seed))
        return [pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(next(keys)))]

    monkeypatch.setattr(pygame.event, "get", events)
    before = session.dreamt.temperature
    run(session, tmp_path)
    assert [view for _, view, *_ in shown].count("dream") == 1
    assert session.human and session.seed == 5
    assert session.dreamt.temperature == pytest.approx(before + 0.1)
    assert (tmp_path / "film-1.mp4").stat().st_size > 1000
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"
