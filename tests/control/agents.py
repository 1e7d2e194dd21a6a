"""Small agents for the counting environments."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.seeding import torch_init
from worldmodels.control.agent import Agent
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.vision.base import Vision
from worldmodels.vision.normaliser import StateNormaliser

STATE = EnvConfig(id="tests.environments:CountingState-v0", kwargs={"jitter": 6})
BOX = EnvConfig(id="tests.environments:CountingBox-v0", kwargs={"length": 30}, max_steps=50)
Z, D = 3, 5


def new_memory(action_dim: int) -> MDNRNN:
    """An untrained M of two members; always the same."""
    with torch_init(0, "memory"):
        return MDNRNN(MDNRNNConfig(hidden_dim=D, ensemble_size=2, num_mixtures=2), Z, action_dim).eval()


def new_controller(env: EnvConfig, features: Literal["z", "zh"] = "zh") -> Controller:
    """A linear controller of ``env``."""
    spec = spec_of(env)
    config = ControllerConfig(features=features)
    return Controller.build(config, z_dim=Z, rnn_dim=D, action=spec.action, action_dim=spec.action_dim)


def random_solutions(controller: Controller, rows: int) -> NDArray[np.float32]:
    """(rows, N), always the same."""
    return np.random.default_rng(5).standard_normal((rows, controller.num_params), np.float32)


def identity(dim: int) -> StateNormaliser:
    """V with z = the state itself."""
    return StateNormaliser(np.zeros(dim, np.float32), np.ones(dim, np.float32))


def new_agent(env: EnvConfig, controller: Controller, vision: Vision | None = None, **options: Any) -> Agent:
    """An agent whose only parameters are ``random_solutions(controller, 1)``."""
    spec = spec_of(env)
    memory = new_memory(spec.action_dim) if controller.features == "zh" else None
    return Agent(spec, vision or identity(Z), memory, controller, random_solutions(controller, 1), **options)
