"""A control for C's search: an actor-critic of C's shape, trained in the dream of a finished round.

    python -m benchmarks.actor_critic ROUND [--iterations N] [--episodes N] [--seed N]

Run it where a pipeline ran. The actor has the parameters of C and nothing else. In the dream it draws its actions from
the softmax of C's outputs and is improved by PPO (Schulman et al. 2017) with generalised advantages (Schulman et al.
2016); then it acts as C does, by the largest output. If it does no better in reality than what CMA-ES found, C's search
is not what limits; if it earns more in the dream but not in reality, the dream is.
"""

import argparse
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError, load_section
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.common.seeding import Role, torch_init, torch_rng
from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller, FeatureScale
from worldmodels.control.fitness import DreamFitness, RealFitness
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import Starts
from worldmodels.dream.state import DreamState
from worldmodels.environment.config import EnvConfig
from worldmodels.round import Round

DREAMS, EPOCHS, MINIBATCHES = 512, 2, 4
DISCOUNT, TRACE, CLIP, ENTROPY = 0.97, 0.95, 0.2, 0.01  # gamma, lambda, epsilon, weight of the actor's entropy
ACTOR_RATE, CRITIC_RATE, CRITIC_UNITS = 3e-3, 1e-3, 64


class Experience(NamedTuple):
    """Steps of dreams, T steps of B dreams, with features of zero mean and unit spread.

    Attributes:
        features: (T+1, B, F). action: (T, B). reward: (T, B). goes_on: (T, B), 0 where the step ended its dream.
        played: (T, B), 1 until a dream has ended.
    """

    features: Tensor
    action: Tensor
    reward: Tensor
    goes_on: Tensor
    played: Tensor


@dataclass
class ActorCritic:
    """PPO in a dream.

    Attributes:
        controller: the shape of the actor: discrete.
        dream: where it is trained, at its horizon.
        seed: of the starts, the actions and the critic's weights.
        mean, std: (F,) of the features at the starts.
        solution: (1, N), the actor's parameters, on features of zero mean and unit spread.
    """

    controller: Controller
    dream: Dream
    seed: int
    mean: Tensor = field(init=False)
    std: Tensor = field(init=False)
    solution: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch_rng(self.seed, "actor-critic")
        self.mean, self.std = self.dream.feature_statistics(4 * DREAMS, self.generator)
        self.solution = torch.zeros(1, self.controller.num_params, requires_grad=True)
        if self.controller.hidden_dim:
            self.solution.data.normal_(0, self.controller.feature_dim**-0.5, generator=self.generator)
        with torch_init(self.seed, "critic"):
            units = CRITIC_UNITS
            self.critic = nn.Sequential(nn.Linear(self.controller.feature_dim, units), nn.SiLU(), nn.Linear(units, 1))
        groups = [
            {"params": [self.solution], "lr": ACTOR_RATE},
            {"params": self.critic.parameters(), "lr": CRITIC_RATE},
        ]
        self.optimizer = torch.optim.Adam(groups)

    def policy(self, features: Tensor) -> torch.distributions.Categorical:
        """Of features (B, F)."""
        return torch.distributions.Categorical(logits=self.controller.outputs(self.solution, features[None])[0])

    def improve(self) -> float:
        """Dream, and learn from it; returns the mean return of these dreams."""
        seen = self.imagine()
        features, action, target, advantage, before = self.judge(seen)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(action), generator=self.generator).chunk(MINIBATCHES):
                now = self.policy(features[rows])
                ratio = (now.log_prob(action[rows]) - before[rows]).exp()
                gain = torch.minimum(ratio * advantage[rows], ratio.clamp(1 - CLIP, 1 + CLIP) * advantage[rows]).mean()
                error = (self.critic(features[rows])[:, 0] - target[rows]).square().mean()
                self.optimizer.zero_grad()
                (error - gain - ENTROPY * now.entropy().mean()).backward()
                self.optimizer.step()
        return (seen.reward * seen.played).sum(0).mean().item()

    @torch.no_grad()
    def judge(self, seen: Experience) -> tuple[Tensor, ...]:
        """The N steps played: features (N, F), and (N,) each: action, return, advantage, log probability of the action.

        Beyond the horizon the critic's value counts.
        """
        value, following = self.critic(seen.features)[..., 0], torch.zeros(())  # (T+1, B)
        advantage = torch.zeros_like(seen.reward)
        for t in reversed(range(len(advantage))):
            error = seen.reward[t] + DISCOUNT * seen.goes_on[t] * value[t + 1] - value[t]
            following = advantage[t] = error + DISCOUNT * TRACE * seen.goes_on[t] * following
        columns, played = (seen.features[:-1], seen.action, advantage + value[:-1], advantage), seen.played.bool()
        features, action, target, advantage = (column[played] for column in columns)
        standard = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
        return features, action, target, standard, self.policy(features).log_prob(action)

    @torch.no_grad()
    def imagine(self) -> Experience:
        """``DREAMS`` dreams of the actor's."""
        start, noise = self.dream.draw(DREAMS, self.generator)
        state, rollout, rows = self.dream.reset(start), torch.arange(DREAMS)[None], []
        features, played = self._features(state), torch.ones(DREAMS)
        for t in range(self.dream.config.horizon):
            action = torch.multinomial(self.policy(features).probs, 1, generator=self.generator)[:, 0]
            encoded = nn.functional.one_hot(action, self.controller.action_dim).float()[None]
            state, reward, ended, _ = self.dream.step(state, encoded, noise.select(t, rollout))
            rows.append((features, action, reward[0], 1 - ended[0].float(), played))
            features, played = self._features(state), played * ~ended[0]
        first, *rest = (torch.stack(column) for column in zip(*rows, strict=True))
        return Experience(torch.cat((first, features[None])), *rest)

    def as_controller(self) -> NDArray[np.float32]:
        """(1, N): C that acts on plain features as the actor's largest output says."""
        return FeatureScale(self.mean.numpy(), self.std.numpy()).to_plain(
            self.controller, self.solution.detach().numpy()
        )

    def _features(self, state: DreamState) -> Tensor:
        return (self.dream.features(state)[0] - self.mean) / self.std


@one_line_errors()
def main() -> None:
    """Train the actor, and print its returns beside those of the round's C, in the dream and in reality."""
    parser = argparse.ArgumentParser(prog="benchmarks.actor_critic", description=__doc__)
    parser.add_argument("round", help="r1, r2, …")
    parser.add_argument("--iterations", type=int, default=200, help=f"of {DREAMS} dreams each")
    parser.add_argument("--episodes", type=int, default=20, help="real ones of each, on none of the held-out seeds")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    here, dreaming = Round(given.round), load_section("dream", DreamConfig)
    trained, runtime = here.controller, RuntimeConfig()
    if trained.controller.action != "discrete":
        raise UserError("actor_critic: only discrete actions")
    dream = Dream(
        here.mdnrnn,
        Starts(here.latents, dreaming.initial_share, dreaming.warmup),
        dreaming,
        trained.controller.features,
    )
    learner = ActorCritic(trained.controller, dream, given.seed)
    for iteration in range(given.iterations):
        earned = learner.improve()
        if iteration % 20 == 0:
            print(f"after {iteration} iterations {earned:.2f} a dream", flush=True)
    both = np.concatenate([trained.best[None], learner.as_controller()])
    in_dream = DreamFitness(dream=dream, controller=trained.controller, runtime=runtime, seed=given.seed)
    agent = Agent(here.spec, here.vae, here.mdnrnn, trained.controller, both)
    in_reality = RealFitness(
        env=load_section("env", EnvConfig), agent=agent, runtime=runtime, seed=given.seed, episodes_per_task=5
    )
    dreamt = in_dream(both, 512, Role.CHECK, "actor-critic").returns
    lived = in_reality(both, given.episodes, Role.CHECK, "actor-critic").returns
    for name, *returns in zip(("CMA-ES's C", "actor-critic"), dreamt, lived, strict=True):
        print(
            f"{name}: "
            + ", ".join(
                f"{where} {values.mean():.2f} ± {values.std() / len(values) ** 0.5:.2f}"
                for where, values in zip(("dream", "reality"), returns, strict=True)
            )
        )


if __name__ == "__main__":
    main()
