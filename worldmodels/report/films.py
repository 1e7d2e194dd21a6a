"""Videos of the agent: in reality, and in its dream next to reality."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller
from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamStart, Noise
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.make import make_env
from worldmodels.environment.spec import EnvSpec
from worldmodels.report.frames import Frame, annotate, hold_last, side_by_side, upscale
from worldmodels.report.play import Shot, play, playing_speed
from worldmodels.report.states import draw_state
from worldmodels.report.video import write_video
from worldmodels.vision.base import Vision, sample_z

FILMED = 250  # steps of a dream's film at least, unless the dream ends: a horizon may be too short to watch


def film_agent(path: Path, env_config: EnvConfig, agent: Agent, seed: int) -> None:
    """The agent's episode of ``seed`` in the real environment, as rendered by the environment."""
    env = make_env(env_config, render=True)
    try:
        shots = play(env, agent, seed)
        write_video(path, map(_captioned, shots), playing_speed(env, env_config.frame_skip))
    finally:
        env.close()


def film_dream(
    path: Path,
    env_config: EnvConfig,
    spec: EnvSpec,
    agent: Agent,
    vision: Vision,
    dream: Dream,
    controller: Controller,
    solution: NDArray[np.float32],
    seed: int,
) -> None:
    """The same controller from the same start in reality and, independently, in member 0's dream, side by side.

    Both for the dream's horizon, but at least ``FILMED`` steps, unless they end before.

    Args:
        solution: (N,) C's parameters.
        seed: of the real episode; also of the dream's noise.
    """
    env = make_env(env_config, render=True)
    steps = max(dream.config.horizon, FILMED)
    try:
        shots = play(env, agent, seed, steps)
        first = next(shots)
        dreamed = _dreamed(spec, vision, dream, controller, solution, first.obs, seed, steps)
        real = map(_captioned, chain([first], shots))
        frames = (side_by_side(*pair) for pair in hold_last(real, dreamed))
        write_video(path, frames, playing_speed(env, env_config.frame_skip))
    finally:
        env.close()


def _captioned(shot: Shot) -> Frame:
    return annotate(upscale(shot.frame), shot.step, shot.episode_return)


def _dreamed(
    spec: EnvSpec,
    vision: Vision,
    dream: Dream,
    controller: Controller,
    solution: NDArray[np.float32],
    obs: NDArray,
    seed: int,
    steps: int,
) -> Iterator[Frame]:
    """The dream that starts at the observation ``obs``, frame by frame, until it terminates, but at most ``steps``."""
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(seed)
        mu, logvar = (torch.from_numpy(array) for array in vision.encode(np.asarray(obs)[None]))  # (1, Z)
        z = sample_z(mu, logvar, torch.randn(mu.shape, generator=generator))
        state = dream.reset(DreamStart(z, dream.memory.initial_state(1)))
        yield annotate(draw_z(spec, vision, z[0].numpy()), 0, 0.0)
        solutions = torch.from_numpy(solution).expand(dream.ensemble_size, -1)
        total = 0.0
        for step in range(1, steps + 1):
            action = controller.act(solutions, dream.features(state))  # (E, 1, A)
            noise = Noise.draw((dream.ensemble_size, 1), dream.z_dim, generator)
            state, reward, terminated, _ = dream.step(state, action, noise)
            total += float(reward[0, 0])
            yield annotate(draw_z(spec, vision, state.z[0, 0].numpy()), step, total)
            if terminated[0, 0]:
                return


def draw_z(spec: EnvSpec, vision: Vision, z: NDArray[np.float32]) -> Frame:
    """The state that z (Z,) encodes, as an image."""
    decoded = vision.decode(z[None])[0]
    return draw_state(decoded, z, spec.id) if spec.observation == "state" else upscale(decoded)
