"""C: controllers, their evolution by CMA-ES, V+M+C as a policy, and its evaluation."""

from worldmodels.control.agent import Agent
from worldmodels.control.cmaes import CMAES
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, TrainedController, load_controller
from worldmodels.control.evaluate import (
    DreamCheck,
    EvaluateConfig,
    dream_check,
    evaluate_policy,
    scoring_env,
    scoring_spec,
    summary,
)
from worldmodels.control.fitness import DreamFitness, Fitness, RealFitness, Scores
from worldmodels.control.train import train_controller

__all__ = [
    "CMAES",
    "Agent",
    "Controller",
    "ControllerConfig",
    "DreamCheck",
    "DreamFitness",
    "EvaluateConfig",
    "Fitness",
    "RealFitness",
    "Scores",
    "TrainedController",
    "dream_check",
    "evaluate_policy",
    "load_controller",
    "scoring_env",
    "scoring_spec",
    "summary",
    "train_controller",
]
