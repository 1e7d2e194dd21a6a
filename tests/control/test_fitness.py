import numpy as np
import pytest
import torch

from tests.control.agents import STATE, D, Z, identity, new_agent, new_controller, new_memory, random_solutions
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.common.seeding import Role, env_seeds
from worldmodels.control.agent import Agent
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller
from worldmodels.control.fitness import DreamFitness, RealFitness
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import RecordedStart, Starts
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.rollout import score

CONTROLLER = new_controller(STATE)


class NormalStarts(Starts):
    """Standard normal starts."""

    def __init__(self):
        pass

    def draw(self, count, generator):
        return RecordedStart.at(torch.randn(count, Z, generator=generator))


def dream_fitness(workers=1, candidates_per_task=2):
    dream = Dream(new_memory(3), NormalStarts(), DreamConfig(horizon=12))
    runtime = RuntimeConfig(workers=workers)
    return DreamFitness(
        dream=dream, controller=CONTROLLER, runtime=runtime, seed=0, candidates_per_task=candidates_per_task
    )


def real_fitness(workers=1, **changes):
    runtime = RuntimeConfig(workers=workers)
    agent = new_agent(STATE, CONTROLLER)
    return RealFitness(env=STATE, agent=agent, runtime=runtime, seed=0, **{"episodes_per_task": 4, **changes})


def solutions(count):
    return random_solutions(CONTROLLER, count).astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("make, env_steps", [(dream_fitness, False), (real_fitness, True)])
def test_scores_are_the_same_for_one_and_two_workers(make, env_steps):
    one, two = (make(workers)(solutions(5), 4, Role.FITNESS, 3) for workers in (1, 2))
    assert one.returns.shape == (5, 4)
    assert one.returns.tobytes() == two.returns.tobytes() and np.array_equal(one.lengths, two.lengths)
    assert one.env_steps == two.env_steps == one.lengths.sum() * env_steps


def test_all_candidates_dream_with_the_same_chance_and_every_generation_with_another():
    fitness, twins = dream_fitness(candidates_per_task=1), np.repeat(solutions(1), 3, axis=0)
    first, second = fitness(twins, 6, Role.FITNESS, 0), fitness(twins, 6, Role.FITNESS, 1)
    assert (first.returns == first.returns[0]).all()
    assert np.unique(first.returns[0]).size == 6
    assert not np.array_equal(first.returns, second.returns)
    assert not np.array_equal(first.returns, fitness(twins, 6, Role.VALIDATE, 0).returns)


def test_every_candidate_plays_with_its_own_parameters_on_the_roles_seeds():
    env, spec = EnvConfig(id="CartPole-v1"), spec_of(EnvConfig(id="CartPole-v1"))
    controller = Controller.build(ControllerConfig(features="z"), z_dim=4, rnn_dim=D, action="discrete", action_dim=2)
    candidates = random_solutions(controller, 4)
    candidates[0] = [0, 0, 0, 0, 0, 1, 0, 1, 0, 0]  # pushes in the direction in which the pole falls
    agent = Agent(spec, identity(4), None, controller, candidates)
    fitness = RealFitness(env=env, agent=agent, runtime=RuntimeConfig(workers=1), seed=9, episodes_per_task=5)
    scores = fitness(candidates, 3, Role.VALIDATE, "search", 4)
    seeds = env_seeds(Role.VALIDATE, 3, 9, "search", 4)
    alone = [[one.length for one in score(env, agent.with_solutions(row[None]), seeds)] for row in candidates]
    assert np.min(alone[0]) > 2 * np.max(alone[1:])
    assert np.array_equal(scores.lengths, alone) and np.array_equal(scores.returns, alone)
    assert scores.env_steps == np.sum(alone)
