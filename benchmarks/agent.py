"""Benchmark of an agent of the paper's sizes in the real CarRacing, in one process."""

import numpy as np
import torch

from benchmarks import paper
from benchmarks.collect import FAST, STOCK
from benchmarks.measure import Result, Way, compare, single_threaded
from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import score
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.vae import VAE

STEPS, TOGETHER = 60, 8
SEEDS = list(range(TOGETHER))


def run(device: torch.device) -> list[Result]:  # noqa: ARG001 (always on the CPU)
    """Eight environments stepped together against one after the other."""
    ways = {
        "ours": single_threaded(play(FAST, agent(VAEConfig()), TOGETHER)),
        "naive": single_threaded(play(STOCK, agent(VAEConfig(precision="float32")), 1)),
        "limit": single_threaded(play(FAST, RandomPolicy(spec_of(FAST)), TOGETHER)),
    }
    note = f"one process, {TOGETHER} environments; stock environment, batch of one; environment alone"
    return [compare("agent", ways, unit="steps/s", note=note, repeats=3)]


def agent(config: VAEConfig) -> Agent:
    """V, M and C with initial weights."""
    controller = Controller(feature_dim=paper.Z + paper.D, action_dim=paper.A, features="zh", action="box")
    rows = np.zeros((1, controller.num_params), np.float32)
    return Agent(spec_of(FAST), VAE(config).eval(), paper.memory(), controller, rows)


def play(env: EnvConfig, policy: Agent | RandomPolicy, together: int) -> Way:
    """Episodes of ``STEPS`` steps, ``together`` at a time."""
    seeds = SEEDS[:2] if together == 1 else SEEDS

    def work() -> float:
        groups = [seeds[i : i + together] for i in range(0, len(seeds), together)]
        return sum(episode.length for group in groups for episode in score(env, policy, group, STEPS))

    return work
