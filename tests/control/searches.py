"""A cheap quadratic fitness, and searches on it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.seeding import Role, numpy_rng
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, TrainedController
from worldmodels.control.fitness import Scores
from worldmodels.control.train import train_controller

CONTROLLER = Controller(feature_dim=2, action_dim=1, features="z", action="box")  # 3 parameters
TOP = np.array([1.0, -1.0, 2.0])
SMALL = ControllerConfig(
    features="z",
    popsize=8,
    sigma0=0.5,
    warm_sigma0=0.2,
    generations=12,
    rollouts=2,
    validation_every=4,
    validation_rollouts=3,
    finalists=2,
    final_rollouts=5,
)


class Hill:
    """Returns fall with the squared distance from TOP, plus a little noise; one step per episode."""

    def __init__(self):
        self.calls = []

    def __call__(self, solutions, rollouts, role, *path):
        self.calls.append((role, path, solutions, rollouts))
        height = -((solutions - TOP) ** 2).sum(axis=1, keepdims=True)  # (P, 1)
        noise = 0.01 * numpy_rng(0, role.name, *path).normal(size=rollouts)
        lengths = np.ones((len(solutions), rollouts), np.int64)
        return Scores(self.judge(height + noise, role, path), lengths, lengths.size)

    def judge(self, returns, role, path):
        """Overridden by subclasses that modify returns."""
        return returns

    def asked(self, role):
        """The calls with one role: path, solutions, rollouts."""
        return [call[1:] for call in self.calls if call[0] is role]


class ToldHill(Hill):
    """Validation returns given values: one for each (search, generation), the last one for the final."""

    def __init__(self, told, final=()):
        super().__init__()
        self.told, self.final = told, final

    def judge(self, returns, role, path):
        if role is not Role.VALIDATE:
            return returns
        values = self.final if path[-1] == "final" else [self.told.get(path[-2:], -100.0)]
        return np.broadcast_to(np.array(values, float)[:, None], returns.shape)


def search(
    root: Path,
    config: ControllerConfig = SMALL,
    *,
    hill=None,
    real=None,
    log=None,
    previous=None,
    scale=None,
    stream=("r1",),
) -> TrainedController:
    """Run a resumable search on a hill, which is also reality unless ``real`` is, and write its result to ``root``."""
    hill = hill or Hill()
    found = train_controller(
        CONTROLLER,
        config,
        {"dream": hill, "real": real or hill},
        seed=3,
        stream=stream,
        previous=previous,
        scale=scale,
        scratch=Scratch(root / "scratch", "controller", "0" * 16),
        log=log or (lambda step, metrics: None),
    )
    found.save(root / "controller.safetensors")
    return found


def changed(**changes) -> ControllerConfig:
    """SMALL with other settings."""
    return replace(SMALL, **changes)
