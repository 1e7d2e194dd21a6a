"""Gymnasium environments in the models' terms: 64×64 RGB frames or flat states, one discrete action or a flat box."""

import copy
import difflib
import importlib
import inspect
import math
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import ale_py
import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.common.errors import one_line
from worldmodels.common.params import ParamError, UserError
from worldmodels.common.seeding import numpy_rng
from worldmodels.environment.config import EnvConfig, Source
from worldmodels.environment.observation import frame_of, observed
from worldmodels.records import FRAME_SHAPE

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # otherwise every worker prints a banner
gym.register_envs(ale_py)
cv2.setNumThreads(0)  # a worker uses one core; distributing a 64×64 frame over threads costs more than resizing it

TRUTH = "truth"  # in info: the values that env.truth names

MAX_STEPS = 10_000  # of an episode, where the environment names no limit: it might never end
MAX_ACTIONS = 64  # combinations of a MultiDiscrete or MultiBinary action

_EXAMPLES = ("LunarLander-v3", "CarRacing-v3", "ALE/Pong-v5")


class EnvironmentFault(UserError):
    """An environment did what no stage can use; the message names it, the seed, the step and the field."""


def make_env(config: EnvConfig, *, render: bool = False) -> gym.Env:
    """One environment whose observations are (64, 64, 3) uint8 frames or (S,) float32 states.

    Its actions are Discrete, or a one-dimensional Box: those of a MultiDiscrete or MultiBinary are numbered, a Box of
    another shape is flattened. An episode that its environment would not limit is truncated after ``MAX_STEPS``.

    Args:
        render: ``env.render()`` gives RGB frames, for videos.

    Raises:
        ParamError: unknown id (the message names similar ones), unknown kwargs, a crop outside the frame, an
            unsupported observation space.
    """
    env = make_raw(config, render=render)
    limit = config.max_steps or (0 if env.spec and env.spec.max_episode_steps else MAX_STEPS)
    env = _with_plain_actions(env)
    pictures = config.pixels or observed(env.observation_space, config).kind == "pixel"
    env = _Pixels(env, config) if pictures else _State(env, config)
    return gym.wrappers.TimeLimit(env, limit) if limit else env


def see(env: gym.Env, obs: Any) -> NDArray:
    """What ``make_env``'s environment gives for a raw observation of the same environment."""
    while isinstance(env, gym.Wrapper) and not isinstance(env, _Stepper):
        env = env.env
    assert isinstance(env, _Stepper)
    return env._see(obs, None)


def make_raw(config: EnvConfig, *, render: bool = False) -> gym.Env:
    """The environment as ``gymnasium.make`` gives it; ``make_env`` adds everything else that ``config`` says.

    Raises:
        ParamError: unknown id (the message names similar ones), or unknown kwargs.
    """
    kwargs = dict(config.kwargs)
    if render or config.pixels:
        kwargs["render_mode"] = "rgb_array"
    if config.max_steps:
        kwargs["max_episode_steps"] = -1  # config.max_steps replaces the environment's own limit
    _check_id(config.id)
    try:
        return gym.make(config.id, disable_env_checker=True, **kwargs)
    except Exception as error:  # an environment's constructor may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParamError(f"env.id = '{config.id}', env.kwargs = {config.kwargs}: {reason}") from error


def _with_plain_actions(env: gym.Env) -> gym.Env:
    """The same environment with Discrete or one-dimensional actions, as far as they can be had."""
    space = env.action_space
    if isinstance(space, gym.spaces.Box) and len(space.shape) != 1:
        flat = gym.spaces.flatten_space(space)
        return gym.wrappers.TransformAction(env, lambda action: gym.spaces.unflatten(space, action), flat)
    if isinstance(space, gym.spaces.MultiBinary):
        sizes, start = np.full(space.shape, 2).ravel(), np.zeros(int(np.prod(space.shape)), np.int64)
    elif isinstance(space, gym.spaces.MultiDiscrete):
        sizes, start = space.nvec.ravel(), space.start.ravel()
    else:
        return env
    count = math.prod(int(size) for size in sizes)
    if count > MAX_ACTIONS:
        return env

    def combination(action: Any) -> NDArray:
        parts = np.array(np.unravel_index(int(action), sizes)) + start
        return parts.astype(space.dtype).reshape(space.shape)

    return gym.wrappers.TransformAction(env, combination, gym.spaces.Discrete(count))


@runtime_checkable
class DrawsOnRequest(Protocol):
    """An environment whose observation can be left undrawn: most frames of a repeated action are never seen.

    Attributes:
        draws: whether ``step`` and ``reset`` draw their observation; what they return is meaningless if not.
    """

    draws: bool

    def observe(self) -> Any:
        """The present observation."""
        ...


class _Frames(NamedTuple):
    """What some frames of the environment led to: the last two raw observations, their rewards' sum, and the end."""

    obs: Any
    before: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class _Stepper(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Idle starts, serves and repeated actions; subclasses convert observations in ``_see``.

    Rewards of the idle frames are added to the first step's, so that the return is the environment's own. If
    ``config.truth`` names anything, ``info[TRUTH]`` is (G,) float32, one value per name, NaN where ``info`` lacks it.
    """

    def __init__(self, env: gym.Env, config: EnvConfig) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, config=config)  # lets env.spec make it again
        gym.Wrapper.__init__(self, env)
        self.config = config
        self._undrawn = env.unwrapped if isinstance(env.unwrapped, DrawsOnRequest) and not config.max_pool else None
        if self._undrawn is not None:
            self._undrawn.draws = False
        self._carried = 0.0
        self._lives = 0
        self._starts = np.random.default_rng(0)
        self._seed: int | None = None
        self._steps = 0  # of the environment, in this episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray, dict]:
        if seed is not None:
            self._starts, self._seed = numpy_rng(seed, "noops"), seed
        self._steps = 0
        idle = self.config.skip_start + int(self._starts.integers(self.config.noop_max + 1))
        obs, info = self._begun(seed=seed, options=options)
        self._carried = 0.0
        for _ in range(idle):
            obs, reward, terminated, truncated, info = self._frame(_idle_action(self.action_space))
            self._carried += reward
            if terminated or truncated:
                obs, info = self._begun(options=options)
                self._carried = 0.0
        before = None
        if self.config.serve is not None:
            obs, before, reward, *_, info = self._repeat(self.config.serve)
            self._carried += reward
        self._lives = info.get("lives", 0)
        return self._see(self._drawn(obs), before), self._with_truth(info)

    def step(self, action: Any) -> tuple[NDArray, float, bool, bool, dict]:
        frames, carried = self._repeat(action), self._carried
        self._carried, lives = 0.0, frames.info.get("lives", 0)
        if self.config.serve is not None and lives < self._lives and not (frames.terminated or frames.truncated):
            carried += frames.reward
            frames = self._repeat(self.config.serve)
        self._lives = lives
        info = self._with_truth(frames.info)
        return (
            self._see(self._drawn(frames.obs), frames.before),
            carried + frames.reward,
            frames.terminated,
            frames.truncated,
            info,
        )

    def _repeat(self, action: Any) -> _Frames:
        """A step's frames with one action, fewer if the episode ends."""
        before = obs = None
        total, terminated, truncated, info = 0.0, False, False, {}
        for _ in range(self.config.frame_skip):
            # a copy: an environment may draw into the same array again
            before = copy.deepcopy(obs) if self.config.max_pool else None
            obs, reward, terminated, truncated, info = self._frame(action)
            total += reward
            if terminated or truncated:
                break
        return _Frames(obs, before, total, terminated, truncated, info)

    def _frame(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of the environment itself, with an action that is its own to keep or change."""
        box = self.env.action_space
        if isinstance(box, gym.spaces.Box):
            given = np.clip(np.array(action, box.dtype), box.low, box.high)
        else:
            given = np.int64(action)
        try:
            obs, reward, terminated, truncated, info = self.env.step(given)
        except Exception as error:  # an environment may raise anything
            raise self._raised("step", error) from error
        self._steps += 1
        number = _number(reward)
        if not math.isfinite(number):
            raise self._fault("reward", f"{' '.join(str(reward).split())[:100]} is not one finite number")
        return obs, number, bool(terminated), bool(truncated), info

    def _begun(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        """The environment itself, reset."""
        try:
            return self.env.reset(**how)
        except Exception as error:
            raise self._raised("reset", error) from error

    def _drawn(self, obs: Any) -> Any:
        return obs if self._undrawn is None else self._undrawn.observe()

    def _converted(self, convert: Callable[[Any], NDArray], field: str, value: Any) -> NDArray:
        try:
            return convert(value)
        except (ValueError, TypeError, LookupError) as error:
            raise self._fault(field, str(error)) from None

    def _raised(self, method: str, error: Exception) -> UserError:
        """One line for what the environment raised, and where: in its own file, if the error passed through it."""
        if isinstance(error, UserError):
            return error
        own, passed = _file_of(self.unwrapped), traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in reversed(passed) if frame.filename == own), passed[-1])
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return self._fault(method, f"it raised {one_line(error)} ({where})")

    def _fault(self, field: str, what: str) -> EnvironmentFault:
        place = f"seed {self._seed}, step {self._steps}"
        return EnvironmentFault(f"env.id = '{self.config.id}', {place}: {field}: {what}")

    def _with_truth(self, info: dict[str, Any]) -> dict[str, Any]:
        if not self.config.truth:
            return info
        values = [self._known(name, source, info) for name, source in self.config.truth.items()]
        return info | {TRUTH: np.array(values, np.float32)}

    def _known(self, name: str, source: Source | list[Source], info: dict[str, Any]) -> float:
        if isinstance(source, list):
            value, shown = (self._known(name, part, info) for part in source[:2])
            limit = float(source[2]) if len(source) == 3 else np.inf
            return value if shown and shown < limit else np.nan
        game: Any = self.unwrapped
        try:
            return float(game.ale.getRAM()[source] if isinstance(source, int) else info.get(source, np.nan))
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ParamError(
                f"env.truth.{name} = {source!r}: {error}; accepted: a byte of an Atari game's memory, 0 to 127, or a"
                " key of the environment's info with a number"
            ) from None

    def _see(self, obs: Any, before: Any) -> NDArray:
        """The observation made from this frame's raw one and the previous raw one of the same step."""
        raise NotImplementedError


class _State(_Stepper):
    """States of any shape, flat."""

    def __init__(self, env: gym.Env, config: EnvConfig) -> None:
        super().__init__(env, config)
        self._seen = observed(env.observation_space, config)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, self._seen.shape, np.float32)

    def _see(self, obs: Any, before: Any) -> NDArray:  # noqa: ARG002 (states are not pooled)
        return self._converted(self._seen.convert, "observation", obs)


class _Pixels(_Stepper):
    """Frames, observed or drawn: pooled, cropped, reduced to 64×64 RGB."""

    def __init__(self, env: gym.Env, config: EnvConfig) -> None:
        super().__init__(env, config)
        self._seen = None if config.pixels else observed(env.observation_space, config)
        self.observation_space = gym.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        if self._seen is not None:
            self._check_crop(self._seen.shape)

    def _see(self, obs: Any, before: Any) -> NDArray[np.uint8]:
        frame = self._picture(obs)
        if self.config.max_pool and before is not None:
            frame = np.maximum(frame, self._picture(before))
        if self.config.crop:
            top, bottom, left, right = self.config.crop
            frame = frame[top:bottom, left:right]
        small = cv2.resize(frame, FRAME_SHAPE[:2], interpolation=cv2.INTER_AREA)  # averages: thin objects stay visible
        return np.asarray(small, np.uint8)

    def _picture(self, obs: Any) -> NDArray[np.uint8]:
        if self._seen is not None:
            return self._converted(self._seen.convert, "observation", obs)
        frame = self._converted(frame_of, "picture", self.env.render())
        self._check_crop(frame.shape)
        return frame

    def _check_crop(self, shape: tuple[int, ...]) -> None:
        _, bottom, _, right = self.config.crop or (0, 0, 0, 0)
        if bottom > shape[0] or right > shape[1]:
            raise ParamError(f"env.crop = {self.config.crop}: frames are {shape[0]} high and {shape[1]} wide")


def _file_of(env: gym.Env) -> str:
    """Where its class is defined; empty if it is in no file."""
    try:
        return inspect.getfile(type(env))
    except (OSError, TypeError):
        return ""


def _number(reward: Any) -> float:
    """A number, or an array of one; NaN for anything else."""
    if isinstance(reward, float | int):
        return float(reward)
    array = np.asarray(reward)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiub" else math.nan


def _idle_action(space: gym.Space) -> Any:
    """The idle action: a discrete space's first action, or zero in a box."""
    if isinstance(space, gym.spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    return int(getattr(space, "start", 0))


def _check_id(env_id: str) -> None:
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ParamError(f"env.id = '{env_id}': module '{module}' cannot be imported ({error})") from None
    if name not in gym.registry:
        nearest = ", ".join(_nearest(name))
        raise ParamError(f"env.id = '{env_id}': no such environment; nearest are {nearest}")


def _nearest(name: str) -> list[str]:
    """Registered ids similar to this one: other versions first, then Atari's current name, then similar spellings."""
    bare = re.sub(r"-v\d+$", "", name)
    versions = [known for known in gym.registry if re.sub(r"-v\d+$", "", known).lower() == bare.lower()]
    versions.sort(key=lambda known: gym.registry[known].version or 0, reverse=True)
    game = "ALE/" + re.sub(r"^ALE/|-ram|NoFrameskip|Deterministic", "", bare) + "-v5"
    atari = [game] if game in gym.registry else []
    alike = difflib.get_close_matches(name, list(gym.registry), n=3, cutoff=0.5)
    return list(dict.fromkeys([*versions[:1], *atari, *alike]))[:3] or list(_EXAMPLES)
