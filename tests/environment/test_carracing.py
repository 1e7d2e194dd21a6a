"""The fast CarRacing shows what the stock one shows, to the last bit."""

import pickle
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import PLAYFIELD, CarRacing

from worldmodels.environment.carracing import FastCarRacing
from worldmodels.seeding import numpy_rng

FAST_ID = "worldmodels.environment.carracing:worldmodels/CarRacing-v3"


def drive(seed: int) -> Iterator[np.ndarray]:
    """Full gas and hard turns: the wheels leave marks, the car leaves the road."""
    rng, action = numpy_rng(seed, "drive"), np.array([0.0, 1.0, 0.0])
    while True:
        action = np.clip(action + rng.normal(0, (0.3, 0.1, 0.05)), (-1, 0.3, 0), (1, 1, 0.3))
        yield action.astype(np.float32)


def same(ours: Any, theirs: Any) -> np.ndarray:
    """The frame that both are."""
    assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return ours


def pair(seed: int, **kwargs: Any) -> tuple[CarRacing, FastCarRacing]:
    stock, fast = CarRacing(**kwargs), FastCarRacing(**kwargs)
    same(fast.reset(seed=seed)[0], stock.reset(seed=seed)[0])
    return stock, fast


def step_both(stock: CarRacing, fast: CarRacing, action: np.ndarray) -> np.ndarray:
    ours, theirs = fast.step(action), stock.step(action)
    assert ours[1:] == theirs[1:]
    return same(ours[0], theirs[0])


def move(env: CarRacing, x: float, y: float) -> None:
    """Put the car's middle at (x, y)."""
    assert env.car is not None
    hull = env.car.hull.position
    shift = x - hull[0], y - hull[1]
    for body in [env.car.hull, *env.car.wheels]:
        body.position = body.position[0] + shift[0], body.position[1] + shift[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_frame_is_the_stock_one(seed: int) -> None:
    stock, fast = pair(seed)
    actions = drive(seed)
    shown = [step_both(stock, fast, next(actions)) for _ in range(120)]  # the zoom is the first 50
    assert len({frame.tobytes() for frame in shown}) == 120
    assert any(tile.road_visited for tile in fast.road or [])  # so colours did change on the way


def test_renderings_for_people_show_the_same_wheel_marks() -> None:
    stock, fast = pair(3, render_mode="rgb_array")
    actions = drive(3)
    for _ in range(60):
        step_both(stock, fast, next(actions))
    assert fast.car is not None and len(fast.car.particles) > 0
    same(fast.render(), stock.render())


@pytest.mark.parametrize(
    ("x", "outside"),  # where the car is, and how much of the frame lies off the playfield, roughly
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
        same(fast.reset()[0], stock.reset()[0])


def test_it_is_registered_with_the_stock_limits() -> None:
    env, stock = gym.make(FAST_ID), gym.spec("CarRacing-v3")
    assert isinstance(env.unwrapped, FastCarRacing)
    assert env.spec is not None and env.spec.id == "worldmodels/CarRacing-v3"
    assert env.spec.max_episode_steps == stock.max_episode_steps == 1000
    assert env.spec.reward_threshold == stock.reward_threshold == 900


def test_it_can_be_handed_to_a_worker() -> None:
    copy = pickle.loads(pickle.dumps(FastCarRacing(continuous=False)))
    assert isinstance(copy, FastCarRacing) and copy.action_space == gym.spaces.Discrete(5)
