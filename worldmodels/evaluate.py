"""Score a packed agent in the real environment: ``python -m worldmodels.evaluate agents/NAME``.

Prints one line of JSON with the keys of results/evaluate/metrics.json. The agent's and the random policy's scores use
the requested seeds; ``env_steps`` and the dream's metrics are those of the agent's training, as exported.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from worldmodels.agents import TrainedAgent, load_agent
from worldmodels.common.errors import one_line_errors
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.control.evaluate import evaluate_policy, summary
from worldmodels.environment.policy import RandomPolicy


def evaluate(agent: TrainedAgent, *, episodes: int = 100, seed: int = 0, workers: int = 0) -> dict[str, Any]:
    """Metrics of complete episodes, with the environment's own rewards.

    Args:
        episodes: number of episodes, at least one.
        seed: of the first episode; the others use the following integers. The pipeline's evaluation starts at 0.
        workers: processes; 0 is one per core. It does not affect the result.
    """
    runtime, seeds = RuntimeConfig(workers=workers), range(seed, seed + episodes)
    policies = agent.policy, RandomPolicy(agent.spec)
    result, random = (evaluate_policy(agent.env, policy, seeds, runtime) for policy in policies)
    metrics = summary(result, agent.spec.solved_return) | {"random_return_mean": float(random.returns.mean())}
    return {**agent.about["score"]["metrics"], **metrics}


def main() -> None:
    """Score the agent in a folder."""
    parser = argparse.ArgumentParser(prog="worldmodels.evaluate", description=__doc__)
    parser.add_argument("agent", type=Path, help="folder of a packed agent")
    parser.add_argument("--episodes", type=_count, default=100, help="episodes to play (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode; the others follow (default: 0)")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one per core (default)")
    parser.add_argument(
        "--kwarg",
        type=_kwarg,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of gymnasium.make other than in training, such as repeat_action_probability=0; repeatable",
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="an mp4 of the first episode")
    arguments = parser.parse_args()
    with one_line_errors():
        agent = load_agent(arguments.agent, **dict(arguments.kwarg))
        options = {"episodes": arguments.episodes, "seed": arguments.seed, "workers": arguments.workers}
        print(json.dumps(evaluate(agent, **options)))
        if arguments.video:
            from worldmodels.report.films import film_agent  # imported late: it imports torch, which takes a second

            film_agent(arguments.video, agent.env, agent.policy, arguments.seed)


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value}: expected at least 1")
    return value


def _kwarg(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE, the value as in JSON: 0.25, true") from None


if __name__ == "__main__":
    main()
