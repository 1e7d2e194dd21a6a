"""``worldmodels/Dream-v0``: the dream of a packed agent, or of a round of the pipeline, by ``gymnasium.make``.

    gymnasium.make("worldmodels.dreams:worldmodels/Dream-v0", agent="agents/carracing", render_mode="rgb_array")
    gymnasium.make_vec("worldmodels.dreams:worldmodels/Dream-v0", num_envs=4, round="r4", temperature=1.15)

A round's dreams begin at recorded states, as its C's did; an agent has no recordings with it, so its dreams begin where
an episode of the real environment does.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch

from worldmodels.agents import TrainedAgent, load_agent, load_agent_memory
from worldmodels.common.params import ParamError, load_section, parse_section
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.env import DreamEnv
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import RecordedStart, Starts
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.make import make_env
from worldmodels.report.films import draw_z
from worldmodels.round import Round
from worldmodels.vision.base import Vision, sample_z

ID = "worldmodels/Dream-v0"


class RealStarts:
    """Starts that are first observations of the real environment, which is reset for each of them."""

    def __init__(self, config: EnvConfig, vision: Vision) -> None:
        self._env, self._vision = make_env(config), vision

    def draw(self, count: int, generator: torch.Generator) -> RecordedStart:
        """``count`` starts; the generator draws the environment's seeds and the noise of z."""
        seeds = torch.randint(2**31, (count,), generator=generator).tolist()
        first = np.stack([self._env.reset(seed=seed)[0] for seed in seeds])
        mu, logvar = (torch.from_numpy(array) for array in self._vision.encode(first))
        return RecordedStart.at(sample_z(mu, logvar, torch.randn(mu.shape, generator=generator)))

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def dream_config(agent: TrainedAgent) -> DreamConfig:
    """The dreams that the agent's C was searched in, as far as their settings are today's."""
    known = {field.name for field in fields(DreamConfig)}
    return DreamConfig(**{k: v for k, v in agent.about["params"]["dream"].items() if k in known})


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
        self._real: RealStarts | None = None
        if agent is not None:
            loaded, memory = load_agent(agent), load_agent_memory(agent)
            spec, vision = loaded.spec, loaded.policy.vision
            config = dream_config(loaded)
            self._real = starts = RealStarts(loaded.env, vision)
        else:
            last = Round(str(round), Path(root))
            spec, vision, memory = last.spec, last.vae, last.mdnrnn
            config = load_section("dream", DreamConfig, Path(root) / "params.yaml")
            starts = Starts(last.latents, config.initial_share, config.warmup)
        config = parse_section("dream", asdict(config) | settings, DreamConfig, Path(ID))
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


gym.register(id=ID, entry_point="worldmodels.dreams:DreamOf")
