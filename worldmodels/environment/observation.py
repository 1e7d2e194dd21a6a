"""The forms of an environment's observations: which of them are pictures, which are states, and their conversion.

A picture becomes an (H, W, 3) uint8 frame; of a stack of pictures the latest is taken. A state becomes (S,) float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.common.params import ParamError
from worldmodels.environment.config import EnvConfig

MAX_STATE = 4096  # numbers; a picture that is taken for a state would fill the memory
MAX_STACK = 16  # pictures

_VECTORS = (gym.spaces.Discrete, gym.spaces.MultiBinary, gym.spaces.MultiDiscrete)
_LEAST = 16  # pixels of a side of what may be a picture, if it is not uint8 with its channels last
_PICTURES = (
    "pictures are H×W, H×W×1, H×W×3, H×W×4 (alpha is dropped), 1×H×W, 3×H×W, stacks of these (k×H×W, H×W×3k, …), of"
    " integers from 0 to 255 or floats within [0, 1] or [0, 255]"
)


@dataclass(frozen=True)
class Observed:
    """How an environment's observations are seen.

    Attributes:
        kind: ``pixel`` or ``state``.
        shape: (H, W, 3) of its frames, or (S,).
        convert: an observation to an array of that shape, uint8 or float32; a state's shares no memory with it. Raises
            an exception, mostly a ValueError, if the observation is not of its space or not finite.
        note: what was assumed and is not obvious; empty if nothing was.
    """

    kind: Literal["pixel", "state"]
    shape: tuple[int, ...]
    convert: Callable[[Any], NDArray]
    note: str = ""


def observed(space: gym.Space, config: EnvConfig) -> Observed:
    """How observations of ``space`` are seen with ``env.observation`` and ``env.key``.

    Raises:
        ParamError: it is neither a picture nor a state of at most ``MAX_STATE`` numbers; the message says what helps.
    """
    if config.key != "":
        part, pick = _part(space, config)
        inner = _whole(part, config)
        return Observed(inner.kind, inner.shape, lambda obs: inner.convert(pick(obs)), inner.note)
    return _whole(space, config)


def frame_of(drawn: Any) -> NDArray[np.uint8]:
    """What an environment has drawn, as an (H, W, 3) uint8 frame.

    Grey pictures, alpha, floats (in [0, 1] if none is above 1) and channels that come first are converted; of a list of
    pictures the last is taken.

    Raises:
        ValueError: it is not a picture.
    """
    if isinstance(drawn, list) and drawn and isinstance(drawn[-1], np.ndarray):
        drawn = drawn[-1]
    picture = np.asarray(drawn)
    layout = _layout(picture.shape, least=1) if picture.size and picture.dtype.kind in "uifb" else None
    if layout is None:
        shape = f" of shape {picture.shape}" if picture.shape else ""
        raise ValueError(f"{type(drawn).__name__}{shape} is no picture")
    picture = layout[0](picture)
    picture = _checked(picture, picture.shape)
    if picture.dtype == np.uint8:
        return picture
    scale = 255.0 if picture.dtype.kind in "fb" and picture.max() <= 1 else 1.0
    return np.clip(np.rint(picture * scale), 0, 255).astype(np.uint8)


def _part(space: gym.Space, config: EnvConfig) -> tuple[gym.Space, Callable[[Any], Any]]:
    """The part of a Dict or Tuple that ``env.key`` names, and how to take it from an observation."""
    parts: dict[str, tuple[gym.Space, Any]] = {}
    if isinstance(space, gym.spaces.Dict):
        parts = {str(key): (part, key) for key, part in space.spaces.items()}
    elif isinstance(space, gym.spaces.Tuple):
        parts = {str(i): (part, i) for i, part in enumerate(space.spaces)}
    if str(config.key) not in parts:
        accepted = f"accepted: {', '.join(parts)}" if parts else "it has no parts: env.key has to be empty"
        raise ParamError(f"env.key = '{config.key}': no part of the observations of {config.id}; {accepted}")
    part, key = parts[str(config.key)]
    return part, lambda obs: obs[key]


def _whole(space: gym.Space, config: EnvConfig) -> Observed:
    picture = None if config.observation == "state" else _picture(space)
    if picture is not None:
        return picture
    if config.observation == "pixel":
        raise ParamError(f"{_named(space, config)} is no picture, and env.observation = 'pixel'; {_PICTURES}")
    return _state(space, config)


def _picture(space: gym.Space) -> Observed | None:
    """How observations of ``space`` are frames; None if they are no pictures."""
    if not isinstance(space, gym.spaces.Box) or space.low.size == 0:
        return None
    low, high = float(space.low.min()), float(space.high.max())
    scale = 255.0 if space.dtype.kind == "f" and high <= 1 else 1.0
    if not (low >= 0 and high <= 255) or space.dtype.kind == "b":
        return None
    usual = space.dtype == np.uint8 and (len(space.shape) == 2 or space.shape[-1:] in ((1,), (3,), (4,)))
    layout = _layout(space.shape, least=1 if usual else _LEAST)
    if layout is None:
        return None
    take, note = layout
    whole, exact, floats = space.shape, space.dtype == np.uint8, space.dtype.kind == "f"

    def convert(obs: Any) -> NDArray:
        picture = _checked(np.asarray(obs), whole)
        if exact and picture.dtype == np.uint8:
            return take(picture)
        if picture.dtype.kind == "f" and not floats:
            raise ValueError(f"it has numbers of {picture.dtype}, its space of {space.dtype}")
        return take(np.clip(np.rint(picture * scale), 0, 255).astype(np.uint8))

    return Observed("pixel", take(np.zeros(space.shape, np.uint8)).shape, convert, note)


def _layout(shape: tuple[int, ...], least: int) -> tuple[Callable[[NDArray], NDArray], str] | None:
    """How an array of this shape becomes (H, W, 3), and a note; None if it is no picture.

    Args:
        least: pixels of a side.
    """

    def large(*sides: int) -> bool:
        return min(sides) >= least

    if len(shape) == 2 and large(*shape):
        return lambda x: np.repeat(x[..., None], 3, -1), ""
    if len(shape) == 3:
        first, middle, last = shape
        if last in (1, 3) and large(first, middle):
            return (lambda x: np.repeat(x, 3, -1) if last == 1 else x), ""
        if last == 4 and large(first, middle):
            return lambda x: x[..., :3], "the fourth channel of its pictures is taken for alpha, and dropped"
        if first in (1, 3) and large(middle, last):
            inner = _layout((middle, last, first), least)
            return inner and ((lambda x: inner[0](np.moveaxis(x, 0, -1))), "")
        if last % 3 == 0 and 2 <= last // 3 <= MAX_STACK and large(first, middle) and last < min(first, middle):
            return lambda x: x[..., -3:], f"of its stacks of {last // 3} pictures the last is taken"
    if len(shape) in (3, 4) and 2 <= shape[0] <= MAX_STACK:
        inner = _layout(shape[1:], least)
        return inner and ((lambda x: inner[0](x[-1])), f"of its stacks of {shape[0]} pictures the last is taken")
    return None


def _state(space: gym.Space, config: EnvConfig) -> Observed:
    for part, name in _leaves(space):
        if not isinstance(part, (gym.spaces.Box, *_VECTORS)):
            raise ParamError(
                f"{_named(space, config)}: {name}{type(part).__name__} is not supported; accepted: Box, Discrete,"
                " MultiBinary, MultiDiscrete, and Dicts and Tuples of these"
            )
    size = gym.spaces.flatdim(space)
    if size == 0:
        raise ParamError(f"{_named(space, config)} has no numbers")
    if size > MAX_STATE:
        raise ParamError(
            f"{_named(space, config)} has {size:,} numbers, too many for a state (at most {MAX_STATE:,}), and is no"
            f" picture; {_PICTURES}. env.key takes one part of a Dict or Tuple, env.pixels = true takes what the"
            " environment draws"
        )
    if isinstance(space, gym.spaces.Box):
        return Observed("state", (size,), lambda obs: _checked(np.array(obs, np.float32), space.shape).reshape(-1))
    return Observed(
        "state", (size,), lambda obs: _checked(np.array(gym.spaces.flatten(space, obs), np.float32), (size,))
    )


def _checked(array: NDArray, shape: tuple[int, ...]) -> NDArray:
    if array.shape != shape:
        raise ValueError(f"it has shape {array.shape}, its space {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"it has a number that is not finite, {array[~np.isfinite(array)][0]}")
    return array


def _leaves(space: gym.Space, name: str = "") -> list[tuple[gym.Space, str]]:
    """The parts of ``space`` that have no parts themselves, and where each is."""
    if isinstance(space, gym.spaces.Dict):
        parts = space.spaces.items()
    elif isinstance(space, gym.spaces.Tuple):
        parts = enumerate(space.spaces)
    else:
        return [(space, f"{name}: " if name else "")]
    return [leaf for key, part in parts for leaf in _leaves(part, f"{name}.{key}".lstrip("."))]


def _named(space: gym.Space, config: EnvConfig) -> str:
    part = f", env.key = '{config.key}'" if config.key != "" else ""
    return f"env.id = '{config.id}'{part}: observation space {' '.join(str(space).split())[:200]}"
