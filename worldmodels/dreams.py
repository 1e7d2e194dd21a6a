"""``worldmodels/Dream-v0``, the dream of an agent or of a round, and ``worldmodels/Latent-v0``, reality seen likewise.

    gymnasium.make("worldmodels.dreams:worldmodels/Dream-v0", agent="agents/carracing", render_mode="rgb_array")
    gymnasium.make_vec("worldmodels.dreams:worldmodels/Dream-v0", num_envs=4, round="r4", temperature=1.15)
    gymnasium.make("worldmodels.dreams:worldmodels/Latent-v0", agent="agents/carracing")

A round's dreams begin at recorded states, as its C's did; an agent has no recordings with it, so its dreams begin
where an episode of the real environment does. ``Latent-v0`` is the real environment as V and M see it: what was trained
in the dream acts there unchanged.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.agents import TrainedAgent, load_agent, load_agent_memory
from worldmodels.common.params import ParamError, load_section, parse_section
from worldmodels.common.seeding import numpy_rng
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.env import DreamEnv
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import RecordedStart, Starts
from worldmodels.environment.spec import EnvSpec
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.member import FollowedEpisodes
from worldmodels.report.films import draw_z
from worldmodels.round import Round
from worldmodels.vision.base import Vision, sample_z

ID, LATENT_ID = "worldmodels/Dream-v0", "worldmodels/Latent-v0"
_SLOT = np.zeros(1, np.int64)


class RealStarts:
    """Starts that are first observations of a real environment, which is reset for each of them."""

    def __init__(self, env: gym.Env, vision: Vision) -> None:
        self._env, self._vision = env, vision

    def draw(self, count: int, generator: torch.Generator) -> RecordedStart:
        """``count`` starts; the generator draws the environment's seeds and the noise of z."""
        seeds = torch.randint(2**31, (count,), generator=generator).tolist()
        first = np.stack([self._env.reset(seed=seed)[0] for seed in seeds])
        mu, logvar = (torch.from_numpy(array) for array in self._vision.encode(first))
        return RecordedStart.at(sample_z(mu, logvar, torch.randn(mu.shape, generator=generator)))


def dream_config(agent: TrainedAgent) -> DreamConfig:
    """The dreams that the agent's C was searched in, as far as their settings are today's."""
    known = {field.name for field in fields(DreamConfig)}
    return DreamConfig(**{k: v for k, v in agent.about["params"]["dream"].items() if k in known})


def _changed(config: DreamConfig, settings: dict[str, Any]) -> DreamConfig:
    return parse_section("dream", asdict(config) | settings, DreamConfig, Path(ID))


def _check_features(features: str) -> None:
    if features not in ("z", "zh"):
        raise ParamError(f"features = {features!r}: expected 'z' or 'zh'")


class DreamOf(DreamEnv):
    """The dream of an agent or a round. Observations are [z, h], or z alone; actions are the real environment's.

    Args:
        agent: a packed agent's folder.
        round: a round's name, ``r4``; either this or ``agent``.
        root: the project's folder that the round lies in.
        features: ``zh`` or ``z``.
        render_mode: ``rgb_array`` for what V decodes from z, or nothing.
        settings: of ``DreamConfig``, where they are to be other than C was searched with.

    Raises:
        UserError: neither or both are given, a file is missing or damaged, or a setting is not accepted.
    """

    def __init__(
        self,
        agent: str | Path | None = None,
        round: str | None = None,
        root: str | Path = ".",
        features: Literal["z", "zh"] = "zh",
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if (agent is None) == (round is None):
            raise ParamError(f"{ID}: give either agent=FOLDER or round=NAME")
        _check_features(features)
        self._real: gym.Env | None = None
        if agent is not None:
            loaded, memory = load_agent(agent), load_agent_memory(agent)
            spec, vision = loaded.spec, loaded.policy.vision
            config = _changed(dream_config(loaded), settings)
            self._real = loaded.make_env()
            starts = RealStarts(self._real, vision)
        else:
            last = Round(str(round), Path(root))
            spec, vision, memory = last.spec, last.vae, last.mdnrnn
            config = _changed(load_section("dream", DreamConfig, Path(root) / "params.yaml"), settings)
            starts = Starts.of(last.latents, config)
        dream = Dream(memory, starts, config, features)
        super().__init__(
            dream,
            spec.action_space(),
            spec.encode_action,
            draw=lambda z: draw_z(spec, vision, z),
            render_mode=render_mode,
        )

    def close(self) -> None:
        """Close the real environment, if there is one."""
        if self._real is not None:
            self._real.close()


class Latent(gym.Wrapper):
    """A real environment whose observations are a dream's: [z, h] (F,), or z alone.

    Args:
        env: made by ``make_env``.
        spec: of the same environment.
        memory: M, whose member 0 follows the episode.
        features: ``zh`` or ``z``.
    """

    def __init__(
        self, env: gym.Env, spec: EnvSpec, vision: Vision, memory: MDNRNN, features: Literal["z", "zh"] = "zh"
    ) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(
            -np.inf, np.inf, (vision.z_dim + memory.hidden_dim * (features == "zh"),), np.float32
        )
        self._spec, self._vision, self._memory, self._sees_h = spec, vision, memory, features == "zh"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; ``seed`` also seeds the noise of z."""
        obs, info = self.env.reset(seed=seed, options=options)
        if seed is not None or not hasattr(self, "_noise"):
            self._noise = numpy_rng(seed or 0, "latent")
        self._followed = FollowedEpisodes(self._memory, 1)
        return self._see(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment, which M follows."""
        encoded = self._spec.encode_action(np.asarray(action))[None]  # before: the environment may change the action
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._followed.advance(self._z, encoded, _SLOT)
        return self._see(obs), reward, terminated, truncated, info

    def _see(self, obs: NDArray) -> NDArray[np.float32]:
        mu, logvar = self._vision.encode(np.asarray(obs)[None])
        self._z = sample_z(mu, logvar, self._noise.standard_normal(mu.shape, np.float32))  # (1, Z)
        return np.concatenate([self._z, self._followed.h(_SLOT)], axis=1)[0] if self._sees_h else self._z[0]


def make_latent(agent: str | Path, features: Literal["z", "zh"] = "zh", render_mode: str | None = None) -> Latent:
    """The environment that a packed agent is scored in, as its V and M see it.

    Raises:
        UserError: the agent is missing or damaged, or there are no such features.
    """
    _check_features(features)
    loaded = load_agent(agent)
    env = loaded.make_env(render=render_mode is not None)
    return Latent(env, loaded.spec, loaded.policy.vision, load_agent_memory(agent), features)


gym.register(id=LATENT_ID, entry_point="worldmodels.dreams:make_latent")
gym.register(id=ID, entry_point="worldmodels.dreams:DreamOf")
