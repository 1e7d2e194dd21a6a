"""PPO of Stable-Baselines3, trained in an agent's dream and scored in reality, beside the agent's own C.

    uv run --with stable-baselines3 python examples/ppo_in_the_dream.py agents/lunarlander --steps 100000

PPO sees what C sees, [z, h] or z, and never plays a real step before it is scored.
"""

import argparse
from pathlib import Path

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from worldmodels import load_agent

DREAM, LATENT = (f"worldmodels.dreams:worldmodels/{name}" for name in ("Dream-v0", "Latent-v0"))


def main() -> None:
    """Train, and print both scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", type=Path)
    parser.add_argument("--steps", type=int, default=100_000, help="of the dream")
    parser.add_argument("--episodes", type=int, default=20, help="real ones, of each policy")
    arguments = parser.parse_args()
    agent = load_agent(arguments.agent)
    seen = {"agent": arguments.agent.resolve(), "features": agent.policy.controller.features}
    model = PPO("MlpPolicy", make_vec_env(DREAM, n_envs=8, seed=0, env_kwargs=seen), n_steps=512, seed=0, device="cpu")
    model.learn(arguments.steps)
    players = {"PPO": (model, make_vec_env(LATENT, seed=71_000, env_kwargs=seen))}
    players |= {"C": (agent, make_vec_env(agent.make_env, seed=71_000))}
    for name, (player, envs) in players.items():
        scores, _ = evaluate_policy(player, envs, arguments.episodes, return_episode_rewards=True, warn=False)  # pyright: ignore[reportArgumentType]
        returns = np.asarray(scores)
        error = returns.std(ddof=1) / returns.size**0.5
        print(f"{name}: {returns.mean():.1f} ± {error:.1f} in {returns.size} real episodes")


if __name__ == "__main__":
    main()
