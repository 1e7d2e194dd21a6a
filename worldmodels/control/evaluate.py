"""What a policy is worth in the real environment, and what the dream says of the same controllers."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.params import Count, Natural, ParamError, settings
from worldmodels.common.runtime import RuntimeConfig, run_tasks
from worldmodels.common.seeding import Role, numpy_rng
from worldmodels.control.fitness import Fitness
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import Policy
from worldmodels.environment.rollout import Score, score
from worldmodels.environment.spec import EnvSpec
from worldmodels.records import EvalResult

CONFIDENCE = 0.95

SPACES = ("observation", "obs_shape", "action", "action_dim", "action_low", "action_high", "action_start")


@settings
class EvaluateConfig:
    """The evaluation.

    Attributes:
        episodes: held-out episodes, on the same seeds in every run.
        episodes_per_task: episodes that one worker plays side by side.
        dream_rollouts: dreams of each controller whose dream return is asked for.
        check_controllers: the dream check takes so many random controllers, and so many samples of the last search,
            besides each round's best.
        check_episodes: real episodes of each controller of the dream check.
        videos: videos of the agent; 0: none.
        env_id: Gymnasium id of the environment that the score is taken in, where it is not the one trained in; empty:
            the same one. The agent's and the random policy's episodes and the videos are played there; the dream check
            is not, since a dream can only be as good as what it models.
    """

    episodes: Count = 100
    episodes_per_task: Count = 10
    dream_rollouts: Count = 64
    check_controllers: Natural = 8
    check_episodes: Count = 8
    videos: Natural = 0
    env_id: str = ""


def scoring_env(env: EnvConfig, config: EvaluateConfig) -> EnvConfig:
    """The environment that the score is taken in: ``env``, under the id that ``config`` may name."""
    return replace(env, id=config.env_id) if config.env_id else env


def scoring_spec(env: EnvConfig, config: EvaluateConfig, spec: EnvSpec) -> EnvSpec:
    """The spec of the environment that the score is taken in.

    Args:
        spec: that of ``env``.

    Raises:
        ParamError: it cannot be made, or an agent of ``env`` does not fit its spaces.
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


class DreamCheck(NamedTuple):
    """Controllers' returns in reality and in the dream.

    Attributes:
        real, dream: (P,) mean returns.
        rank_correlation: Spearman's, in [-1, 1]: whether the dream ranks controllers as reality does. 0 where there is
            no order to compare: fewer than two controllers, or all alike. A controller whose dreams are not finite is
            left out.
    """

    real: NDArray[np.float64]
    dream: NDArray[np.float64]
    rank_correlation: float


def evaluate_policy(
    env: EnvConfig, policy: Policy, seeds: Sequence[int], runtime: RuntimeConfig, *, episodes_per_task: int = 10
) -> EvalResult:
    """Play one episode per seed, to its end.

    Args:
        episodes_per_task: episodes that one worker plays side by side; the result does not depend on the number of
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
    return score(env, copy.deepcopy(policy), seeds)  # it has state, and threads would share it


def summary(result: EvalResult, solved_return: float | None, *, seed: int = 0) -> dict[str, float | int | bool]:
    """Flat metrics of an evaluation.

    Args:
        solved_return: mean return that counts as solved; None: nobody has said, and ``solved`` is False.
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
    from scipy import stats  # here, because workers import this module, and it takes a second

    interval = stats.bootstrap(
        (returns,), np.mean, confidence_level=CONFIDENCE, method="percentile", rng=numpy_rng(seed, "bootstrap")
    ).confidence_interval
    return float(interval.low), float(interval.high)


def dream_check(
    dream: Fitness, solutions: NDArray[np.floating], real_returns: Sequence[float], rollouts: int
) -> DreamCheck:
    """Compare controllers' known real returns with their returns in the dream.

    Args:
        dream: scores in the dream (``DreamFitness``).
        solutions: (P, N) controllers.
        real_returns: P mean returns in the real environment.
        rollouts: dreams of each controller.
    """
    real = np.asarray(real_returns, np.float64)
    dreamt = dream(solutions, rollouts, Role.CHECK).returns.mean(axis=1)
    return DreamCheck(real, dreamt, _rank_correlation(real, dreamt))


def _rank_correlation(real: NDArray[np.float64], dreamt: NDArray[np.float64]) -> float:
    finite = np.isfinite(dreamt)
    real, dreamt = real[finite], dreamt[finite]
    if min(np.unique(real).size, np.unique(dreamt).size) < 2:
        return 0.0
    from scipy import stats

    return float(np.asarray(stats.spearmanr(real, dreamt))[0])
