"""What a run relies on in an environment: its spec, and a rehearsal that finds in seconds what a later stage would."""

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from worldmodels.common.errors import one_line, silence_destructors
from worldmodels.common.params import ParamError, UserError
from worldmodels.environment.config import EnvConfig, Source
from worldmodels.environment.make import MAX_ACTIONS, MAX_STEPS, TRUTH, make_env, make_raw
from worldmodels.environment.observation import frame_of, observed
from worldmodels.environment.spec import EnvSpec

REHEARSAL_STEPS, REHEARSAL_SECONDS = 300, 3.0  # whichever ends first

_CONTRACT = (
    "accepted: gymnasium.Env, whose reset(seed=…, options=…) returns (observation, info) and whose step(action) returns"
    " (observation, reward, terminated, truncated, info)"
)
_UNBOUNDED = 1e30
_WELL_KNOWN = ("gymnasium.", "ale_py.", "worldmodels.")  # modules whose environments need no checker


def spec_of(config: EnvConfig) -> EnvSpec:
    """The spec of ``config``'s environment, found by making it and starting one episode.

    Raises:
        ParamError: unknown id, bad kwargs or crop, or spaces that are not supported.
    """
    env = make_env(config)
    try:
        with _named(config, "its first steps"):
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


def rehearse(config: EnvConfig, *, films: bool) -> list[str]:
    """Play an environment for a few seconds as the stages will; returns what a user should know, a line each.

    Args:
        films: whether the run is to make films.

    Raises:
        ParamError: it does not have Gymnasium's interface, or raised an exception.
        EnvironmentFault: it gave an observation, reward or picture that no stage can use.
    """
    env, raw = make_env(config), make_raw(config)
    try:
        _action(config.id, env.action_space)
        with _named(config, "its first steps"):
            _check_interface(config, raw.unwrapped)
        notes = _assumed(config, raw)
        if not type(raw.unwrapped).__module__.startswith(_WELL_KNOWN):
            notes += _found_by_gymnasium(raw.unwrapped)
        with _named(config, "a rehearsal"):
            _play(env)
    finally:
        raw.close()
        env.close()
    notes += _films(config) if films else []
    return [f"{config.id}: {note}" for note in notes]


def _check_interface(config: EnvConfig, env: gym.Env) -> None:
    try:
        started: Any = env.reset(seed=0)
    except TypeError as error:
        reason = " ".join(str(error).split())
        raise ParamError(f"env.id = '{config.id}': reset(seed=0): {reason}; {_CONTRACT}") from None
    if not (isinstance(started, tuple) and len(started) == 2 and isinstance(started[1], dict)):
        raise ParamError(f"env.id = '{config.id}': reset returned no pair of observation and info; {_CONTRACT}")
    moved: Any = env.step(env.action_space.sample())
    if not (isinstance(moved, tuple) and len(moved) == 5 and isinstance(moved[4], dict)):
        given = f"{len(moved)} values" if isinstance(moved, tuple) else type(moved).__name__
        raise ParamError(f"env.id = '{config.id}': step returned {given}; {_CONTRACT}")


def _assumed(config: EnvConfig, raw: gym.Env) -> list[str]:
    notes = [] if config.pixels else [observed(raw.observation_space, config).note]
    if not config.max_steps and not (raw.spec and raw.spec.max_episode_steps):
        notes.append(f"it has no limit of steps: episodes are truncated after {MAX_STEPS:,} (env.max_steps)")
    return [note for note in notes if note]


def _found_by_gymnasium(env: gym.Env) -> list[str]:
    """What Gymnasium's own checker finds, each thing once. Much of it does no harm here."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            check_env(env, skip_render_check=True)
        except Exception as error:  # it asserts, and the environment may raise anything
            warnings.warn(str(error) or type(error).__name__, stacklevel=1)
    texts = [re.sub(r"\x1b\[\d+m|WARN: ", "", " ".join(str(warning.message).split())) for warning in found]
    return [f"gymnasium's checker: {text[:300]}" for text in dict.fromkeys(texts)]


def _play(env: gym.Env) -> None:
    """Random actions for a while, and at the end of an episode the next."""
    env.action_space.seed(0)
    end, seed = time.monotonic() + REHEARSAL_SECONDS, 0
    env.reset(seed=seed)
    for _ in range(REHEARSAL_STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if time.monotonic() > end:
            break
        if terminated or truncated:
            seed += 1
            env.reset(seed=seed)


def _films(config: EnvConfig) -> list[str]:
    """A line if the environment cannot draw: films are a by-product, and a run does without."""
    try:
        env = make_env(config, render=True)
        try:
            env.reset(seed=0)
            frame_of(env.render())
        finally:
            env.close()
    except Exception as error:  # an environment that draws may raise anything
        return [f"there will be no films, for it does not draw: {' '.join(str(error).split())[:200]}"]
    return []


@contextmanager
def _named(config: EnvConfig, when: str) -> Iterator[None]:
    """An exception of the environment's own becomes one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        silence_destructors()
        raise ParamError(f"env.id = '{config.id}': in {when} it raised {one_line(error)}") from error


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
    if isinstance(space, gym.spaces.Box) and space.dtype.kind == "f" and _is_bounded(space):
        bounds = {"action_low": tuple(space.low.tolist()), "action_high": tuple(space.high.tolist())}
        return {"action": "box", "action_dim": space.shape[0], **bounds}
    raise ParamError(
        f"env.id = '{env_id}': action space {' '.join(str(space).split())} is not supported;"
        f" accepted: Discrete, MultiDiscrete or MultiBinary of at most {MAX_ACTIONS} combinations, or a bounded Box of"
        " floats"
    )


def _is_bounded(space: gym.spaces.Box) -> bool:
    """Whether both bounds of every dimension say something; the largest floats say nothing."""
    bounds = np.abs(np.array([space.low, space.high], np.float64))
    return bool((bounds < _UNBOUNDED).all())


def _solved_return(config: EnvConfig, env: gym.Env) -> float | None:
    threshold = config.solved_return if config.solved_return is not None else env.spec and env.spec.reward_threshold
    return None if threshold is None else float(threshold)
