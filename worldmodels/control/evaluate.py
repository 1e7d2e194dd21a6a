"""Evaluation of a policy in the real environment."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.params import ParamError
from worldmodels.common.runtime import RuntimeConfig, run_tasks
from worldmodels.common.seeding import numpy_rng
from worldmodels.control.config import EvaluateConfig
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import Policy
from worldmodels.environment.rollout import Score, score
from worldmodels.environment.spec import EnvSpec
from worldmodels.records import EvalResult

CONFIDENCE = 0.95

SPACES = ("observation", "obs_shape", "action", "action_dim", "action_low", "action_high", "action_start")


def scoring_env(env: EnvConfig, config: EvaluateConfig) -> EnvConfig:
    """The environment of the score: ``env``, with the id that ``config`` may override."""
    return replace(env, id=config.env_id) if config.env_id else env


def scoring_spec(env: EnvConfig, config: EvaluateConfig, spec: EnvSpec) -> EnvSpec:
    """The spec of the environment of the score.

    Args:
        spec: that of ``env``.

    Raises:
        ParamError: the environment cannot be made, or its spaces do not fit an agent of ``env``.
    """
    if not config.env_id:
        return spec
    try:
        scored = spec_of(scoring_env(env, config))
    except ParamError as error:
        reason = str(error).removeprefix(f"env.id = '{config.env_id}': ")
        raise ParamError(f"evaluate.env_id = '{config.env_id}': {reason}") from error
    for name in SPACES:
        theirs, ours = getattr(scored, name), getattr(spec, name)
        if theirs != ours:
            raise ParamError(
                f"evaluate.env_id = '{config.env_id}': its {name} is {theirs}, that of env.id = '{env.id}' is {ours};"
                " the spaces have to be the same"
            )
    return scored


def evaluate_policy(
    env: EnvConfig, policy: Policy, seeds: Sequence[int], runtime: RuntimeConfig, *, episodes_per_task: int = 10
) -> EvalResult:
    """Run one full episode per seed.

    Args:
        episodes_per_task: episodes that one worker runs as a batch; the result does not depend on the number of
            workers.
    """
    parts = [list(seeds[i : i + episodes_per_task]) for i in range(0, len(seeds), episodes_per_task)]
    play = partial(_play, env, policy)
    scores = [episode for part in run_tasks(play, parts, runtime, desc=f"evaluate {policy.name}") for episode in part]
    return EvalResult(
        seeds=np.array(seeds, np.int64),
        returns=np.array([episode.episode_return for episode in scores], np.float64),
        lengths=np.array([episode.length for episode in scores], np.int64),
        terminated=np.array([episode.terminated for episode in scores], np.bool_),
        truncated=np.array([episode.truncated for episode in scores], np.bool_),
    )


def _play(env: EnvConfig, policy: Policy, seeds: list[int]) -> list[Score]:
    return score(env, copy.deepcopy(policy), seeds)  # a policy has state, and threads would share it


def summary(result: EvalResult, solved_return: float | None, *, seed: int = 0) -> dict[str, float | int | bool]:
    """Flat metrics of an evaluation.

    Args:
        solved_return: mean return that counts as solved; None: undefined, and ``solved`` is False.
        seed: of the bootstrap's stream.

    Returns:
        ``return_mean``, ``return_std`` (of the episodes, not of the mean), ``return_ci95_low`` and ``_high`` (bootstrap
        interval of the mean), ``return_min``, ``return_max``, ``length_mean`` (steps), ``episodes``, ``solved``.
    """
    returns = result.returns
    low, high = _mean_interval(returns, seed)
    mean = float(returns.mean())
    return {
        "return_mean": mean,
        "return_std": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "return_ci95_low": low,
        "return_ci95_high": high,
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "length_mean": float(result.lengths.mean()),
        "episodes": len(returns),
        "solved": solved_return is not None and mean >= solved_return,
    }


def _mean_interval(returns: NDArray[np.float64], seed: int) -> tuple[float, float]:
    if len(returns) < 2:  # nothing to resample
        return float(returns[0]), float(returns[0])
    from scipy import stats  # imported late: workers import this module, and scipy.stats takes a second

    interval = stats.bootstrap(
        (returns,), np.mean, confidence_level=CONFIDENCE, method="percentile", rng=numpy_rng(seed, "bootstrap")
    ).confidence_interval
    return float(interval.low), float(interval.high)
