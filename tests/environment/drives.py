"""Action sequences for CarRacing that show every drawn object."""

import math
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d.car_racing import PLAYFIELD, CarRacing

from worldmodels.common.seeding import numpy_rng

STOCK_LIMITS = 1000, 900  # steps of an episode, and the return that counts as solved


def limits(env: gym.Env) -> tuple[str, int | None, float | None]:
    """Id, steps of an episode and solved return of a registered environment; the stock one has ``STOCK_LIMITS``."""
    stock = gym.spec("CarRacing-v3")
    assert (stock.max_episode_steps, stock.reward_threshold) == STOCK_LIMITS
    assert env.spec is not None
    return env.spec.id, env.spec.max_episode_steps, env.spec.reward_threshold


def drive(seed: int) -> Iterator[np.ndarray]:
    """Full throttle and hard turns: the wheels leave marks, the car leaves the road."""
    rng, action = numpy_rng(seed, "drive"), np.array([0.0, 1.0, 0.0])
    while True:
        action = np.clip(action + rng.normal(0, (0.3, 0.1, 0.05)), (-1, 0.3, 0), (1, 1, 0.3))
        yield action.astype(np.float32)


def tour(env: CarRacing, seed: int, steps: int) -> Iterator[np.ndarray]:
    """Hard turns during the opening zoom and after it, then along the road, and finally off the playfield and back.

    Args:
        env: the environment of the car; step it with each action before the next one is requested.
    """
    turns = drive(seed)
    for step in range(steps):
        if step < 0.1 * steps:
            yield next(turns)
        elif step < 0.55 * steps:
            yield _steer(env, _ahead(env), 0.3)
        else:
            yield _steer(env, _edge(env), 0.2)


def _ahead(env: CarRacing) -> tuple[float, float]:
    """Direction to a point of the road some tiles ahead."""
    assert env.car is not None
    road, (x, y) = np.array(env.track)[:, 2:4], env.car.hull.position
    nearest = int(np.hypot(road[:, 0] - x, road[:, 1] - y).argmin())
    target = road[(nearest + 5) % len(road)]
    return float(target[0] - x), float(target[1] - y)


def _edge(env: CarRacing) -> tuple[float, float]:
    """Direction to the playfield's nearest edge, from either side."""
    assert env.car is not None
    x, y = env.car.hull.position
    way = 1 if max(abs(x), abs(y)) < PLAYFIELD else -1
    return (math.copysign(1, x) * way, 0.0) if abs(x) > abs(y) else (0.0, math.copysign(1, y) * way)


def _steer(env: CarRacing, towards: tuple[float, float], most: float) -> np.ndarray:
    assert env.car is not None
    hull = env.car.hull
    forward = hull.GetWorldVector((0, 1))
    left = math.atan2(
        forward[0] * towards[1] - forward[1] * towards[0], forward[0] * towards[0] + forward[1] * towards[1]
    )
    gas = 0.2 if hull.linearVelocity.length < 60 else 0.0
    return np.array([np.clip(-left, -most, most), gas, 0], np.float32)
