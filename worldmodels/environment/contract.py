"""Check that an environment is supported, by making it: its spec, or a one-line error."""

from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.common.params import ParamError
from worldmodels.environment.config import EnvConfig, Source
from worldmodels.environment.make import TRUTH, make_env
from worldmodels.environment.spec import EnvSpec


def spec_of(config: EnvConfig) -> EnvSpec:
    """The spec of ``config``'s environment, found by making it and starting one episode.

    Raises:
        ParamError: unknown id, bad kwargs or crop, or spaces that are not supported.
    """
    env = make_env(config)
    try:
        _, info = env.reset(seed=0)  # a crop that does not fit a rendered frame fails here, not in a worker
        _check_truth(config, env, info)
        return EnvSpec(
            id=config.id,
            **_observation(env.observation_space),
            **_action(config.id, env.action_space),
            solved_return=_solved_return(config, env),
            truth=tuple(config.truth),
        )
    finally:
        env.close()


def _check_truth(config: EnvConfig, env: gym.Env, first: dict[str, Any]) -> None:
    """Take a step if ``env.truth`` names a key of info: some environments give it only then."""
    sources = [part for source in config.truth.values() for part in _parts(source)]
    missing = [source for source in sources if isinstance(source, str) and source not in first]
    if not missing:
        return
    *_, info = env.step(env.action_space.sample())
    for name, source in config.truth.items():
        for part in _parts(source):
            if part in missing and part not in info:
                raise ParamError(
                    f"env.truth.{name} = {source!r}: '{part}' is no key of info; accepted:"
                    f" {', '.join(sorted({*first, *info} - {TRUTH})) or 'none, it is empty'}"
                )


def _parts(source: Source | list[Source]) -> list[Source]:
    return source[:2] if isinstance(source, list) else [source]


def _observation(space: gym.Space) -> dict[str, Any]:
    assert space.shape is not None and space.dtype is not None  # make_env gives a Box
    return {"observation": "pixel" if space.dtype == np.uint8 else "state", "obs_shape": space.shape}


def _action(env_id: str, space: gym.Space) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {"action": "discrete", "action_dim": int(space.n), "action_start": int(space.start)}
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded() and space.dtype.kind == "f":
        bounds = {"action_low": tuple(space.low.tolist()), "action_high": tuple(space.high.tolist())}
        return {"action": "box", "action_dim": space.shape[0], **bounds}
    raise ParamError(
        f"env.id = '{env_id}': action space {' '.join(str(space).split())} is not supported;"
        " accepted: Discrete, or a one-dimensional bounded Box of floats"
    )


def _solved_return(config: EnvConfig, env: gym.Env) -> float | None:
    threshold = config.solved_return if config.solved_return is not None else env.spec and env.spec.reward_threshold
    return None if threshold is None else float(threshold)
