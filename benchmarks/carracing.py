"""Benchmark of CarRacing's steps with three ways of drawing; actions and physics are the stock environment's."""

from collections.abc import Callable
from itertools import islice

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.box2d.car_racing import CarRacing

from benchmarks.measure import Result, Way, compare
from worldmodels.environment.carracing import FastCarRacing
from worldmodels.environment.carracing_lowcost import LowCostCarRacing

STEPS = 150


class Undrawn(CarRacing):
    """The physics without drawing."""

    def _render(self, mode: str) -> np.ndarray:  # noqa: ARG002 (nothing is drawn)
        return np.empty((96, 96, 3), np.uint8)


def run(device: torch.device) -> list[Result]:  # noqa: ARG001 (always on the CPU)
    """The bit-identical environment and the low-cost one."""
    note = "one process; stock environment; physics without drawing"
    return [
        compare(
            path, {"ours": drive(ours), "naive": drive(CarRacing), "limit": drive(Undrawn)}, unit="steps/s", note=note
        )
        for path, ours in (("carracing", FastCarRacing), ("carracing_lowcost", LowCostCarRacing))
    ]


def drive(make: Callable[[], gym.Env]) -> Way:
    """A drive along the same road, starting after the opening zoom."""
    env = make()
    rng = np.random.default_rng(0)
    actions = np.clip(rng.normal((0, 0.3, 0), (0.4, 0.2, 0.05), (STEPS + 50, 3)), (-1, 0, 0), 1).astype(np.float32)

    def work() -> float:
        for action in actions[50:]:
            env.step(action)
        return STEPS

    env.reset(seed=0)
    for action in islice(actions, 50):
        env.step(action)
    return work
