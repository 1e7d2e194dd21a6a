import numpy as np
import pytest
import torch

from tests.control.agents import BOX, STATE, D, Z, identity, new_agent, new_controller, new_memory, random_solutions
from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.rollout import rollout
from worldmodels.memory.mdnrnn import RNNState
from worldmodels.vision.base import Vision

SEEDS = [11, 12, 13, 14]


class NoisyVision(Vision):
    """z = the state / 10, with noise of standard deviation 0.5."""

    kind = "noisy"
    z_dim = Z

    def encode(self, obs):
        return (obs / 10).astype(np.float32), np.full_like(obs, 2 * np.log(0.5))

    def decode(self, z):
        return z * 10

    def settings(self):
        return {}

    def weights(self):
        return {}


class Watched(Controller):
    """Records its inputs."""

    def act(self, solutions, features):
        SEEN.append(features[0])
        return super().act(solutions, features)


SEEN: list[np.ndarray] = []


def test_it_is_v_then_c_then_member_0_of_m_step_by_step():
    controller, memory, spec = new_controller(STATE), new_memory(3), spec_of(STATE)
    solutions = random_solutions(controller, 1)
    for episode in rollout(STATE, new_agent(STATE, controller), SEEDS):
        h = c = torch.zeros(1, D)
        for obs, action in zip(episode.obs, episode.action, strict=False):
            z = obs[None]
            with torch.no_grad():
                expected = controller.act(solutions, np.concatenate([z, h.numpy()], 1)[None])[0]
                h, c = memory.advance(torch.from_numpy(z), torch.from_numpy(expected), RNNState(h, c))
            assert spec.decode_action(expected[0]) == action
        assert h.abs().max() > 0.01


def test_h_is_forgotten_when_new_episodes_begin():
    agent = new_agent(BOX, new_controller(BOX))
    for a, b in zip(rollout(BOX, agent, SEEDS), rollout(BOX, agent, SEEDS), strict=True):
        assert np.array_equal(a.action, b.action)


@pytest.mark.parametrize("assign, rows", [("seed", [seed % 4 for seed in SEEDS]), ("slot", [0, 1, 2, 3])])
def test_parameters_are_assigned_by_seed_or_by_slot(assign, rows):
    controller, spec = new_controller(BOX, "z"), spec_of(BOX)
    solutions = random_solutions(controller, 4)
    episodes = rollout(BOX, new_agent(BOX, controller).with_solutions(solutions, assign=assign), SEEDS)
    for episode, row in zip(episodes, rows, strict=True):
        encoded = controller.act(solutions[row][None], episode.obs[0][None, None])[0, 0]
        np.testing.assert_allclose(spec.decode_action(encoded), episode.action[0], atol=1e-6)


def test_z_is_sampled_with_the_posteriors_spread_and_each_seeds_own_noise():
    SEEN.clear()
    plain = new_controller(BOX, "z")
    watched = Watched(feature_dim=plain.feature_dim, action_dim=plain.action_dim, features="z", action="box")
    rollout(BOX, new_agent(BOX, watched, NoisyVision()), [21, 22, 21])
    z = np.stack(SEEN)  # (30, 3, Z)
    assert np.array_equal(z[:, 0], z[:, 2]) and not np.array_equal(z[:, 0], z[:, 1])
    spread = (z[:, 0, 0] - np.arange(30) / 10).std()  # the state's first dimension is the step's number
    assert 0.35 < spread < 0.65


def test_exploration_of_discrete_actions_has_its_probability():
    env = EnvConfig(id="tests.environments:CountingState-v0", kwargs={"length": 400})
    controller = new_controller(env, "z")
    first_action = np.zeros((1, controller.num_params))
    greedy = new_agent(env, controller).with_solutions(first_action)
    curious = new_agent(env, controller, exploration=0.3).with_solutions(first_action)
    assert (rollout(env, greedy, [1])[0].action == 0).all()
    actions = np.concatenate([episode.action for episode in rollout(env, curious, range(5))])  # about 2,000
    assert abs((actions != 0).mean() - 0.3 * 2 / 3) < 0.04
    assert abs((actions == 1).mean() - (actions == 2).mean()) < 0.04


def test_exploration_of_box_actions_has_its_standard_deviation():
    controller, spec = new_controller(BOX, "z"), spec_of(BOX)
    agent = new_agent(BOX, controller, exploration=0.2).with_solutions(np.zeros((1, controller.num_params)))
    encoded = np.concatenate([spec.encode_action(episode.action) for episode in rollout(BOX, agent, range(20))])
    assert abs(encoded.std() - 0.2) < 0.02 and abs(encoded.mean()) < 0.03
    assert np.abs(encoded).max() <= 1


def test_a_controller_of_h_needs_a_memory():
    controller = new_controller(STATE)
    with pytest.raises(ValueError, match="needs a memory"):
        Agent(spec_of(STATE), identity(Z), None, controller, random_solutions(controller, 1))
