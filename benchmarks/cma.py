"""Benchmark of CMA-ES itself, per generation, at 867 parameters."""

import time
from statistics import median

import numpy as np
import torch

from benchmarks import paper
from benchmarks.dream import HORIZON, on_workers
from benchmarks.measure import Load, Result
from worldmodels.control.cmaes import CMAES
from worldmodels.dream.config import DreamConfig

GENERATIONS, FULL_HORIZON = 15, 1000


def run(device: torch.device) -> list[Result]:  # noqa: ARG001 (always on the CPU)
    """One ask and one tell, compared with the dreams of 64 candidates × 16 rollouts × 1,000 steps in between."""
    search = CMAES(np.zeros(paper.CONTROLLER_PARAMS), 0.1, paper.POPSIZE, np.random.default_rng(0))
    dream = on_workers(DreamConfig(horizon=HORIZON, end_on_leaving=False, precision="auto"))
    dream()
    load, overhead, dreaming = Load(), [], []
    for generation in range(GENERATIONS):
        started = time.perf_counter()
        solutions = search.ask()
        search.tell(solutions, solutions.sum(axis=1))
        overhead.append(time.perf_counter() - started)
        if generation % 5 == 0:
            started = time.perf_counter()
            dream()
            dreaming.append((time.perf_counter() - started) * FULL_HORIZON / HORIZON)
    ours, whole = median(overhead), median(dreaming)
    spread = {"ours": (max(overhead) - min(overhead)) / ours, "limit": (max(dreaming) - min(dreaming)) / whole}
    return [
        Result(
            path="cma",
            ours=ours,
            naive=None,
            limit=whole,
            ratio=ours / whole,
            fraction_of_limit=ours / whole,
            unit="s",
            note="ask and tell; -; a dream generation; ratio: its share of one",
            spread=spread,
            other_load=load.of_others(),
        )
    ]
