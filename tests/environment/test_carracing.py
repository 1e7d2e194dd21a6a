"""Tests that the fast CarRacing is bit-identical to the stock one."""

import math
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import PLAYFIELD, TRACK_WIDTH, CarRacing

from tests.environment.drives import STOCK_LIMITS, drive, limits, tour
from worldmodels.environment.carracing import FastCarRacing
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import BrownianPolicy
from worldmodels.environment.rollout import rollout

FAST_ID = "worldmodels.environment.carracing:worldmodels/CarRacing-v3"


def assert_same(ours: Any, theirs: Any) -> np.ndarray:
    """The frame, after checking that both are equal."""
    assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return ours


def pair(seed: int, **kwargs: Any) -> tuple[CarRacing, FastCarRacing]:
    stock, fast = CarRacing(**kwargs), FastCarRacing(**kwargs)
    assert_same(fast.reset(seed=seed)[0], stock.reset(seed=seed)[0])
    return stock, fast


def step_both(
    stock: CarRacing, fast: CarRacing, action: np.ndarray, ours_action: np.ndarray | None = None
) -> np.ndarray:
    *ours, told = fast.step(action if ours_action is None else ours_action)
    *theirs, stock_told = stock.step(action)
    assert ours[1:] == theirs[1:] and told.items() >= stock_told.items()
    return assert_same(ours[0], theirs[0])


def move(env: CarRacing, x: float, y: float) -> None:
    """Put the car's centre at (x, y)."""
    assert env.car is not None
    hull = env.car.hull.position
    shift = x - hull[0], y - hull[1]
    for body in [env.car.hull, *env.car.wheels]:
        body.position = body.position[0] + shift[0], body.position[1] + shift[1]


def off_the_playfield(env: CarRacing) -> bool:
    assert env.car is not None
    return max(map(abs, env.car.hull.position)) > PLAYFIELD


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_frame_of_a_long_drive_is_the_stock_one(seed: int) -> None:
    stock, fast = pair(seed, render_mode="rgb_array")
    assert fast.car is not None and fast.t < 0.1  # the first second zooms in
    shown, black, marked, outside = set(), [], 0, []
    for step, action in enumerate(tour(fast, seed, 1000)):
        frame = step_both(stock, fast, action)
        shown.add(frame.tobytes())
        black.append((frame[:80] == 0).all(-1).mean())  # above the dashboard
        outside.append(off_the_playfield(fast))
        if step % 20 == 0:  # rendered frames have wheel marks too
            assert_same(fast.render(), stock.render())
            marked += len(fast.car.particles) > 0
    assert fast.t > 20 and len(shown) == 1000 and marked >= 40
    assert 10 < sum(outside) < 500 and max(black) > 0.98 and min(black) == 0  # the car itself is never black
    assert sum(tile.road_visited for tile in fast.road or []) > 30  # so colours did change during the drive


def test_renderings_for_people_show_the_same_wheel_marks() -> None:
    stock, fast = pair(3, render_mode="rgb_array")
    actions = drive(3)
    for _ in range(60):
        step_both(stock, fast, next(actions))
    assert fast.car is not None and len(fast.car.particles) > 0
    assert_same(fast.render(), stock.render())


@pytest.mark.parametrize(
    ("x", "outside"),  # position of the car, and approximate part of the frame that is off the playfield
    [(PLAYFIELD - 60, 0.0), (-PLAYFIELD + 28, 0.0), (PLAYFIELD - 10, 0.3), (PLAYFIELD + 10, 0.7), (3 * PLAYFIELD, 1.0)],
)
def test_the_edge_of_the_world_is_the_same(x: float, outside: float) -> None:
    stock, fast = pair(4)
    stock.t = fast.t = 1.0  # the zoom is over
    for env in (stock, fast):
        move(env, x, PLAYFIELD / 3)
    shown = [step_both(stock, fast, action) for action, _ in zip(drive(4), range(10), strict=False)]
    black = (shown[-1][:80] == 0).all(-1).mean()  # above the dashboard
    assert black == pytest.approx(outside, abs=0.15)


def test_colours_drawn_at_random_and_a_second_episode_are_the_same() -> None:
    stock, fast = pair(5, domain_randomize=True)
    for _ in range(2):
        for action, _ in zip(drive(5), range(15), strict=False):
            step_both(stock, fast, action)
        assert_same(fast.reset()[0], stock.reset()[0])


def test_frames_that_nobody_sees_are_not_drawn_and_those_seen_are_the_stock_ones(monkeypatch) -> None:
    shared = {"frame_skip": 4, "skip_start": 6, "kwargs": {"max_episode_steps": 92}}  # the last step has two frames
    stock = EnvConfig(id="CarRacing-v3", **shared)
    fast = EnvConfig(id=FAST_ID, **shared)
    policy = BrownianPolicy(spec_of(stock))
    drawn = []
    render = FastCarRacing._render_road
    monkeypatch.setattr(FastCarRacing, "_render_road", lambda *args: drawn.append(1) or render(*args))
    (theirs,), (ours,) = (rollout(config, policy, [3]) for config in (stock, fast))
    assert len(drawn) == len(ours.obs) == 23
    for name in ("obs", "action", "reward", "truncated"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_it_tells_where_the_car_is_on_the_road() -> None:
    env = FastCarRacing()
    _, start = env.reset(seed=6)
    assert start == pytest.approx(
        {"offset": 0, "heading": 0, "turn": start["turn"], "speed": 0, "on_course": 1}, abs=0.1
    )
    assert env.car is not None
    told = {}
    for tile in range(len(env.track)):
        _, direction, x, y = env.track[tile]
        for right in (-1.5, 0.5):  # of the middle, in halves of the road's width: on the grass, and on the road
            move(env, x + right * TRACK_WIDTH * math.cos(direction), y + right * TRACK_WIDTH * math.sin(direction))
            env.car.hull.angle = direction + 0.3
            told[tile, right] = env._place()
    offsets, headings, turns = (
        np.array([place[name] for place in told.values()]) for name in ("offset", "heading", "turn")
    )
    usual = np.median(offsets.reshape(-1, 2), 0)  # in a bend another tile can be nearer
    assert usual == pytest.approx([-1.5, 0.5], abs=0.05)
    assert np.median(np.abs(headings - 0.3)) < 0.05 and np.abs(headings).max() <= math.pi
    assert np.abs(turns).max() > 0.5  # the track has bends
    assert all(place["on_course"] for place in told.values())
    env.car.hull.linearVelocity = (3.0, 4.0)
    assert env._place()["speed"] == pytest.approx(5)
    env.car.hull.angle += 2
    assert not env._place()["on_course"]
    _, direction, x, y = env.track[0]
    move(env, x + 2.5 * TRACK_WIDTH * math.cos(direction), y + 2.5 * TRACK_WIDTH * math.sin(direction))
    env.car.hull.angle = direction
    assert not env._place()["on_course"]


def test_one_pedal_is_gas_above_zero_and_brake_far_below() -> None:
    stock, fast = CarRacing(), FastCarRacing(pedal=True)
    for env in (stock, fast):
        env.reset(seed=7)
    for steering, pedal in [(0.1, 0.8), (-0.2, 0.3), (0.0, 0.0), (0.1, -0.3), (0.3, -0.6)] * 5:
        step_both(
            stock,
            fast,
            np.array([steering, max(pedal, 0), max(-2 * pedal - 1, 0)], np.float32),
            np.array([steering, pedal]),
        )
    assert fast.action_space == gym.spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(ValueError, match="pedal"):
        FastCarRacing(continuous=False, pedal=True)


def test_it_is_registered_with_the_stock_limits() -> None:
    env = gym.make(FAST_ID)
    assert isinstance(env.unwrapped, FastCarRacing)
    assert limits(env) == ("worldmodels/CarRacing-v3", *STOCK_LIMITS)


def test_it_can_be_handed_to_a_worker() -> None:
    copy = pickle.loads(pickle.dumps(FastCarRacing(continuous=False)))
    assert isinstance(copy, FastCarRacing) and copy.action_space == gym.spaces.Discrete(5)
    pedal = pickle.loads(pickle.dumps(FastCarRacing(pedal=True)))
    assert pedal.action_space.shape == (2,)
