"""Gymnasium environments with the models' observations: 64×64 RGB frames or flat float32 states."""

import difflib
import importlib
import re
from typing import Any, NamedTuple

import ale_py
import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.common.params import ParamError
from worldmodels.common.seeding import numpy_rng
from worldmodels.environment.config import EnvConfig, Source
from worldmodels.records import FRAME_SHAPE

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # otherwise every worker prints a banner
gym.register_envs(ale_py)
cv2.setNumThreads(0)  # a worker uses one core; distributing a 64×64 frame over threads costs more than resizing it

TRUTH = "truth"  # in info: the values that env.truth names

_EXAMPLES = ("LunarLander-v3", "CarRacing-v3", "ALE/Pong-v5")
_STATE_SPACES = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiBinary, gym.spaces.MultiDiscrete)


def make_env(config: EnvConfig, *, render: bool = False) -> gym.Env:
    """One environment whose observations are (64, 64, 3) uint8 frames or (S,) float32 states.

    Args:
        render: ``env.render()`` gives RGB frames, for videos.

    Raises:
        ParamError: unknown id (the message names similar ones), unknown kwargs, a crop outside the frame, an
            unsupported observation space.
    """
    kwargs = dict(config.kwargs)
    if render or config.pixels:
        kwargs["render_mode"] = "rgb_array"
    if config.max_steps:
        kwargs["max_episode_steps"] = -1  # config.max_steps replaces the environment's own limit
    _check_id(config.id)
    try:
        env = gym.make(config.id, disable_env_checker=True, **kwargs)
    except Exception as error:  # an environment's constructor may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParamError(f"env.id = '{config.id}', env.kwargs = {config.kwargs}: {reason}") from error
    env = _Pixels(env, config) if config.pixels or _is_image(env.observation_space) else _State(env, config)
    return gym.wrappers.TimeLimit(env, config.max_steps) if config.max_steps else env


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
        self._carried = 0.0
        self._lives = 0
        self._starts = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray, dict]:
        if seed is not None:
            self._starts = numpy_rng(seed, "noops")
        idle = self.config.skip_start + int(self._starts.integers(self.config.noop_max + 1))
        obs, info = self.env.reset(seed=seed, options=options)
        self._carried = 0.0
        for _ in range(idle):
            obs, reward, terminated, truncated, info = self.env.step(_idle_action(self.action_space))
            self._carried += float(reward)
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
                self._carried = 0.0
        before = None
        if self.config.serve is not None:
            obs, before, reward, *_, info = self._repeat(self.config.serve)
            self._carried += reward
        self._lives = info.get("lives", 0)
        return self._see(obs, before), self._with_truth(info)

    def step(self, action: Any) -> tuple[NDArray, float, bool, bool, dict]:
        frames, carried = self._repeat(action), self._carried
        self._carried, lives = 0.0, frames.info.get("lives", 0)
        if self.config.serve is not None and lives < self._lives and not (frames.terminated or frames.truncated):
            carried += frames.reward
            frames = self._repeat(self.config.serve)
        self._lives = lives
        info = self._with_truth(frames.info)
        return (
            self._see(frames.obs, frames.before),
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
            before = obs
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return _Frames(obs, before, total, bool(terminated), bool(truncated), info)

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
        raw = env.observation_space
        if not isinstance(raw, _STATE_SPACES):
            raise ParamError(
                f"env.id = '{config.id}': observation space {type(raw).__name__} is not supported; accepted:"
                " a Box of uint8 H×W, H×W×1 or H×W×3 frames, any other Box, Discrete, MultiBinary or MultiDiscrete"
            )
        self._raw = raw
        self._is_box = isinstance(raw, gym.spaces.Box)
        size = gym.spaces.flatdim(raw)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def _see(self, obs: Any, before: Any) -> NDArray:  # noqa: ARG002 (states are not pooled)
        flat = obs if self._is_box else gym.spaces.flatten(self._raw, obs)
        return np.array(flat, np.float32).reshape(-1)  # a copy: an environment may reuse its array


class _Pixels(_Stepper):
    """Frames: pooled, cropped, reduced to 64×64 RGB."""

    def __init__(self, env: gym.Env, config: EnvConfig) -> None:
        super().__init__(env, config)
        self.observation_space = gym.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        if not config.pixels:
            self._check_crop(env.observation_space.shape or ())

    def _see(self, obs: Any, before: Any) -> NDArray[np.uint8]:
        if self.config.pixels:
            obs = self.env.render()
            self._check_crop(obs.shape)
        if self.config.max_pool and before is not None:
            obs = np.maximum(obs, before)
        if self.config.crop:
            top, bottom, left, right = self.config.crop
            obs = obs[top:bottom, left:right]
        frame = cv2.resize(obs, FRAME_SHAPE[:2], interpolation=cv2.INTER_AREA)  # averages: thin objects stay visible
        return frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)

    def _check_crop(self, shape: tuple[int, ...]) -> None:
        _, bottom, _, right = self.config.crop or (0, 0, 0, 0)
        if bottom > shape[0] or right > shape[1]:
            raise ParamError(f"env.crop = {self.config.crop}: frames are {shape[0]} high and {shape[1]} wide")


def _is_image(space: gym.Space) -> bool:
    if not isinstance(space, gym.spaces.Box) or space.dtype != np.uint8:
        return False
    return len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[-1] in (1, 3))


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
