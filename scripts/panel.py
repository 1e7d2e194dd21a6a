"""Make a panel, controllers of known real return: ``python -m scripts.panel panels/lunarlander.safetensors``

The environment is that of params.yaml. Several searches in it give controllers of every quality; a few that are spread
evenly over the returns are kept and score many more episodes.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import load_section
from worldmodels.common.runtime import RuntimeConfig, run_tasks
from worldmodels.common.seeding import Role, env_seeds, numpy_rng
from worldmodels.control.agent import Agent
from worldmodels.control.cmaes import CMAES
from worldmodels.control.controller import Controller
from worldmodels.control.fitness import RealFitness
from worldmodels.control.panel import Panel, ends
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.rollout import rollout
from worldmodels.vision.normaliser import StateNormaliser

SEED = 777
SEARCHES, GENERATIONS, POPSIZE, ROLLOUTS, SIGMA0 = 3, 36, 32, 8, 1.0
EPISODES = 16  # of each candidate of the panel
PLAYERS, PANEL_EPISODES = 32, 64


def candidates(fitness: RealFitness, num_params: int) -> NDArray[np.float64]:
    """The mean and one sample of every generation of the searches, (n, N)."""
    found: list[NDArray] = []
    for number in range(SEARCHES):
        rng = numpy_rng(SEED, "panel", number)
        search = CMAES(np.zeros(num_params), SIGMA0, POPSIZE, rng, covariance="full")
        for generation in range(GENERATIONS):
            solutions = search.ask()
            found += [search.mean, solutions[0]]
            scores = fitness(solutions, ROLLOUTS, Role.FITNESS, number, generation)
            search.tell(solutions, scores.returns.mean(axis=1))
    return np.stack(found)


def spread(returns: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` returns, evenly spread: a quarter in the lower half (no outliers), the rest above."""
    low, middle, high = np.quantile(returns, [0.02, 0.5, 1])
    quarter = count // 4
    wanted = np.concatenate(
        [np.linspace(low, middle, quarter, endpoint=False), np.linspace(middle, high, count - quarter)]
    )
    kept: list[int] = []
    for value in wanted:
        kept.append(next(i for i in np.abs(returns - value).argsort() if i not in kept))
    return np.sort(kept)


def play(env: EnvConfig, agent: Agent, seeds: list[int], solution: NDArray) -> tuple[NDArray, ...]:
    """Each episode's return, whether it terminated, and its last reward; all (R,)."""
    episodes = rollout(env, agent.with_solutions(solution[None]), seeds)
    columns = zip(*((e.reward.sum(dtype=np.float64), e.terminated[-1], e.reward[-1]) for e in episodes), strict=True)
    return tuple(np.array(column) for column in columns)


def main(path: Path) -> None:
    """Search, choose, score and save."""
    env, runtime = load_section("env", EnvConfig), load_section("runtime", RuntimeConfig)
    spec = spec_of(env)
    (dim,) = spec.obs_shape
    controller = Controller(feature_dim=dim, action_dim=spec.action_dim, features="z", action=spec.action)
    vision = StateNormaliser(np.zeros(dim, np.float32), np.ones(dim, np.float32))
    agent = Agent(spec, vision, None, controller, np.zeros((1, controller.num_params)))
    fitness = RealFitness(env=env, agent=agent, runtime=runtime, seed=SEED)
    found = candidates(fitness, controller.num_params)
    chosen = found[spread(fitness(found, EPISODES, Role.CHECK, "candidates").returns.mean(axis=1), PLAYERS)]
    seeds = env_seeds(Role.CHECK, PANEL_EPISODES, SEED, "panel")
    scores = run_tasks(partial(play, env, agent, seeds), list(chosen), runtime, desc="panel")
    returns, terminated, last_reward = (np.stack(column) for column in zip(*scores, strict=True))  # (P, R) each
    panel = Panel(
        env={"id": env.id, "kwargs": env.kwargs},
        action_dim=spec.action_dim,
        weights=chosen.astype(np.float32),
        returns=returns.mean(1).astype(np.float32),
        ends=ends(terminated, last_reward, np.zeros_like(terminated)),
        episodes=PANEL_EPISODES,
    )
    panel.save(path)
    print(f"{path}: {PLAYERS} controllers, mean returns {panel.returns.min():.0f} to {panel.returns.max():.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts.panel", description=main.__doc__)
    parser.add_argument("path", type=Path)
    with one_line_errors():
        main(parser.parse_args().path)
