"""Planning with M instead of C: every few real steps many action sequences are dreamt, and the best one's first taken.

    uv run python examples/plan_in_the_dream.py agents/lunarlander --episodes 3

The cross-entropy method (Rubinstein 1999; PlaNet, Hafner et al. 2019) over sequences of actions, each dreamt by every
member of M; the distribution found goes on from plan to plan. An action is held for some steps, so that a plan reaches
further. It is scored in reality, beside the agent's own C.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels import load_agent
from worldmodels.agents import TrainedAgent, load_agent_memory
from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamStart, Noise
from worldmodels.dreams import dream_config
from worldmodels.environment.spec import EnvSpec

SEEDS = 71_000  # of the real episodes


@dataclass
class Plan:
    """A distribution over sequences of H encoded actions.

    Attributes:
        mean: (H, A): probabilities of discrete actions, or the mean of continuous ones.
        std: (H, A), of continuous ones.
    """

    spec: EnvSpec
    mean: Tensor
    std: Tensor

    @classmethod
    def blank(cls, spec: EnvSpec, horizon: int) -> "Plan":
        """Every sequence alike."""
        shape = (horizon, spec.action_dim)
        start = torch.full(shape, 1 / spec.action_dim) if spec.action == "discrete" else torch.zeros(shape)
        return cls(spec, start, torch.ones(shape))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(P, H, A) sequences."""
        if self.spec.action == "discrete":
            chosen = torch.multinomial(self.mean, count, replacement=True, generator=generator).T  # (P, H)
            return torch.nn.functional.one_hot(chosen, self.spec.action_dim).float()
        noise = torch.randn(count, *self.mean.shape, generator=generator)
        return (self.mean + self.std * noise).clamp(-1, 1)

    def fit(self, elite: Tensor) -> None:
        """Become the distribution of these sequences (n, H, A), without losing any choice altogether."""
        self.mean = 0.9 * elite.mean(0) + 0.1 * self.mean
        self.std = elite.std(0).clamp(min=0.05)

    def shift(self) -> None:
        """An action is over: the rest is where the next search begins, a little blurred."""
        blank = Plan.blank(self.spec, 1)
        self.mean = 0.8 * torch.cat([self.mean[1:], blank.mean]) + 0.2 * Plan.blank(self.spec, len(self.mean)).mean
        self.std = torch.ones_like(self.std)


class Planner:
    """The cross-entropy method in the dream.

    Args:
        horizon: H, actions of a plan. hold: steps of each. sequences: P. iterations: of the method for each plan.
    """

    def __init__(
        self, agent: TrainedAgent, folder: Path, horizon: int, hold: int, sequences: int, iterations: int
    ) -> None:
        self._spec, self._vision = agent.spec, agent.policy.vision
        self._dream = Dream(load_agent_memory(folder), None, dream_config(agent))
        self._horizon, self._hold, self._sequences, self._iterations = horizon, hold, sequences, iterations
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._plan, self._rnn = Plan.blank(self._spec, self._horizon), self._dream.memory.initial_state(1)
        self._steps, self._taken = 0, torch.zeros(self._spec.action_dim)
        self._generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def act(self, obs: NDArray) -> NDArray:
        """The action for an observation, in the environment's form."""
        z = torch.from_numpy(self._vision.encode(obs[None])[0])  # (1, Z)
        if self._steps % self._hold == 0:
            self._taken = self._search(DreamStart(z, self._rnn))
        self._steps += 1
        shape = (self._dream.ensemble_size, 1, -1)
        self._rnn = self._dream.memory.step(z.expand(shape), self._taken.expand(shape), self._rnn).state
        return self._spec.decode_action(self._taken.numpy())

    def _search(self, start: DreamStart) -> Tensor:
        """The first action (A,) of the best plan, which the next search begins after."""
        for _ in range(self._iterations):
            actions = self._plan.draw(self._sequences, self._generator)
            order = self._returns(start, actions).argsort(descending=True)
            self._plan.fit(actions[order[: max(2, self._sequences // 10)]])
        best = self._plan.mean[0]
        self._plan.shift()
        return torch.eye(len(best))[best.argmax()] if self._spec.action == "discrete" else best

    def _returns(self, start: DreamStart, actions: Tensor) -> Tensor:
        """(P,) returns of sequences (P, H, A), each the mean over the members of M."""
        count, members = len(actions), self._dream.ensemble_size
        state = self._dream.reset(start, torch.zeros(members, count, dtype=torch.int64))
        alive, total = torch.ones(members, count), torch.zeros(members, count)
        for t in range(self._horizon * self._hold):
            noise = Noise.draw((members, count), self._dream.z_dim, self._generator)
            state, reward, terminated, _ = self._dream.step(
                state, actions[:, t // self._hold].expand(members, -1, -1), noise
            )
            total += alive * reward
            alive *= ~terminated
        return total.mean(0)


def scored(agent: TrainedAgent, player: TrainedAgent | Planner, episodes: int) -> NDArray[np.float64]:
    """Returns of real episodes."""
    env, returns = agent.make_env(), np.zeros(episodes)
    for i in range(episodes):
        obs, _ = env.reset(seed=SEEDS + i)
        player.reset(SEEDS + i)
        over = False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(player.act(obs))
            returns[i] += float(reward)
            over = terminated or truncated
    env.close()
    return returns


def main() -> None:
    """Play, and print both scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", type=Path)
    parser.add_argument("--episodes", type=int, default=5)
    parser.add_argument("--horizon", type=int, default=20, help="actions of a plan")
    parser.add_argument("--hold", type=int, default=4, help="steps of each action")
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)  # for so few rows more threads are slower
    agent = load_agent(given.agent)
    planner = Planner(agent, given.agent, given.horizon, given.hold, given.sequences, given.iterations)
    for name, player in {"planner": planner, "C": agent}.items():
        returns = scored(agent, player, given.episodes)
        error = returns.std(ddof=1) / len(returns) ** 0.5 if len(returns) > 1 else float("nan")
        print(f"{name}: {returns.mean():.1f} ± {error:.1f} in {len(returns)} real episodes", flush=True)


if __name__ == "__main__":
    main()
