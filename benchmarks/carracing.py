"""How fast the stock, the fast and the low-cost CarRacing are beside each other: `python -m benchmarks.carracing`.

They take turns, a hundred steps each with the same actions, so that whatever else the machine does slows them alike.
CPU time is counted.
"""

import time
from collections.abc import Mapping, Sequence

import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from worldmodels.environment import BrownianPolicy, EnvConfig, make_env, spec_of
from worldmodels.environment.carracing import FastCarRacing
from worldmodels.environment.carracing_lowcost import LowCostCarRacing

STEPS, TURN, SEED = 1000, 100, 0
IDS = {
    "stock": "CarRacing-v3",
    "fast": "worldmodels.environment.carracing:worldmodels/CarRacing-v3",
    "low-cost": "worldmodels.environment.carracing_lowcost:worldmodels/CarRacingLowCost-v3",
}


def brownian_actions() -> list[np.ndarray]:
    """One episode's actions of the policy that the presets collect with."""
    policy = BrownianPolicy(spec_of(EnvConfig(id=IDS["low-cost"])))
    policy.begin([SEED])
    return [policy.act(np.zeros((1, 1)), np.zeros(1, np.int64))[0] for _ in range(STEPS)]


def race(envs: Mapping[str, gym.Env], actions: Sequence[np.ndarray]) -> dict[str, float]:
    """Seconds that each takes for the actions, its reset included."""
    seconds = dict.fromkeys(envs, 0.0)
    for first in range(0, len(actions), TURN):
        for name, env in envs.items():
            start = time.process_time()
            if first == 0:
                env.reset(seed=SEED)
            for action in actions[first : first + TURN]:
                env.step(action)
            seconds[name] += time.process_time() - start
    return seconds


def main() -> None:
    actions = brownian_actions()
    raw = {"stock": CarRacing(), "fast": FastCarRacing(), "low-cost": LowCostCarRacing()}
    seen = {name: make_env(EnvConfig(id=env_id, crop=[0, 84, 0, 96])) for name, env_id in IDS.items()}
    for title, envs in {"env.step": raw, "through make_env": seen}.items():
        seconds = race(envs, actions)
        for name, took in seconds.items():
            print(f"{title:<17} {name:<9} {STEPS / took:7.0f} steps/s  x{seconds['stock'] / took:.1f}")


if __name__ == "__main__":
    main()
