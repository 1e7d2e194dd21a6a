"""Environments drawn at random over spaces, numbers, lengths, rewards and quirks; and parameters drawn at random."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from hypothesis import strategies as st

SIDE = st.sampled_from([3, 16, 21])
REWARDS = {
    "float": float,
    "int": int,
    "bool": bool,
    "float32": np.float32,
    "int8": np.int8,
    "0-d": lambda x: np.array(x),
    "one element": lambda x: np.array([x]),
    "nan": lambda _: float("nan"),
    "two elements": lambda x: np.array([x, x]),
    "text": str,
    "none": lambda _: None,
}
QUIRKS = (
    "same array",
    "read-only",
    "changes its action",
    "not finite",
    "another shape",
    "raises",
    "four values",
    "no info",
    "no seed",
    "no end",
    "draws grey",
    "draws nothing",
    "cannot draw",
)


@st.composite
def pictures(draw: st.DrawFn) -> gym.Space:
    """Boxes that look like pictures, mostly."""
    height, width, stack = draw(SIDE), draw(SIDE), draw(st.integers(2, 5))
    channels = draw(st.sampled_from([1, 3, 4]))
    plain = (height, width)
    shape = draw(
        st.sampled_from(
            [plain, (*plain, channels), (channels, *plain), (*plain, 3 * stack), (stack, *plain), (stack, *plain, 3)]
        )
    )
    dtype, low, high = draw(
        st.sampled_from([("uint8", 0, 255), ("float32", 0, 1), ("float64", 0, 255), ("int32", 0, 255)])
    )
    return Box(low, high, shape, np.dtype(dtype).type)


def vectors() -> st.SearchStrategy[gym.Space]:
    """Spaces of a few numbers, bounded, unbounded, and with a dimension that cannot vary."""
    floats = st.sampled_from([np.float32, np.float64])
    return st.one_of(
        st.builds(lambda n, t: Box(-1, 1, (n,), t), st.integers(1, 5), floats),
        st.builds(lambda n, t: Box(-np.inf, np.inf, (n,), t), st.integers(1, 5), floats),
        st.builds(lambda n: Box(np.zeros(n, np.float32), np.arange(n, dtype=np.float32)), st.integers(1, 4)),
        st.builds(lambda n: Box(0, 9, (n, 2), np.int64), st.integers(1, 3)),
        st.builds(lambda n, s: Discrete(n, start=s), st.integers(1, 5), st.integers(-2, 3)),
        st.builds(lambda n: MultiBinary(n), st.integers(1, 4)),
        st.builds(lambda parts: MultiDiscrete(parts), st.lists(st.integers(1, 4), min_size=1, max_size=3)),
        st.just(Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (2,))),
    )


def composites(parts: st.SearchStrategy[gym.Space]) -> st.SearchStrategy[gym.Space]:
    """Dicts and Tuples, one inside another at times."""
    small = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        small.map(lambda spaces: Tuple(spaces)),
        small.map(lambda spaces: Dict({f"part{i}": space for i, space in enumerate(spaces)})),
    )


OBSERVATIONS = st.one_of(
    pictures(),
    vectors(),
    composites(st.one_of(vectors(), pictures(), st.just(Text(4)))),
    composites(composites(vectors())),
)
ACTIONS = st.one_of(vectors(), composites(vectors()))


@dataclass(frozen=True)
class World:
    """What an environment is made of."""

    observation: gym.Space
    action: gym.Space
    length: int
    reward: str
    quirks: frozenset[str]
    seed: int


WORLDS = st.builds(
    World,
    observation=OBSERVATIONS,
    action=ACTIONS,
    length=st.sampled_from([1, 2, 7, 30]),
    reward=st.one_of(st.just("float"), st.sampled_from(sorted(REWARDS))),
    quirks=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(QUIRKS), max_size=2)),
    seed=st.integers(0, 99),
)


class Generated(gym.Env):
    """The environment of a world; its observations are samples of its space."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(self, world: World, render_mode: str | None = None) -> None:
        if render_mode and "cannot draw" in world.quirks:
            raise TypeError("render_mode")
        self.world, self.render_mode = world, render_mode
        self.observation_space, self.action_space = world.observation, world.action
        self.count, self.kept = 0, None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if "no seed" in self.world.quirks and seed is not None:
            raise TypeError("reset() got an unexpected keyword argument 'seed'")
        super().reset(seed=seed)
        self.observation_space.seed(self.world.seed if seed is None else seed)
        self.count = 0
        obs = self._observe()
        return obs if "no info" in self.world.quirks else (obs, {})

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not of {self.action_space}"
        quirks = self.world.quirks
        self.count += 1
        if "raises" in quirks and self.count == 3:
            raise RuntimeError("fell\nover")
        if "changes its action" in quirks and isinstance(action, np.ndarray):
            action[...] = 0
        ended = self.count >= self.world.length and "no end" not in quirks
        result = self._observe(), REWARDS[self.world.reward](self.count % 2), ended, False, {}
        return (*result[:3], {}) if "four values" in quirks else result

    def render(self) -> Any:
        if "draws nothing" in self.world.quirks:
            return None
        frame = np.full((20, 30, 3), self.count, np.uint8)
        return frame[..., 0] if "draws grey" in self.world.quirks else frame

    def _observe(self) -> Any:
        obs, quirks = self.observation_space.sample(), self.world.quirks
        if not isinstance(obs, np.ndarray):
            return obs
        if "not finite" in quirks and obs.dtype.kind == "f" and self.count == 2:
            obs = np.full_like(obs, np.nan)
        if "another shape" in quirks and self.count == 2:
            return np.concatenate([obs, obs])
        if "same array" in quirks:
            if self.kept is None:
                self.kept = obs
            self.kept[...] = obs
            return self.kept
        obs.setflags(write="read-only" not in quirks)
        return obs
