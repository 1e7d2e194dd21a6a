"""Trained agents, one folder each: ``agent.json`` and ``weights.safetensors``, which suffice to run the agent."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.common import checkpoint
from worldmodels.common.params import UserError
from worldmodels.common.seeding import numpy_rng
from worldmodels.control.agent import Agent
from worldmodels.control.controller import Controller
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.make import make_env
from worldmodels.environment.spec import EnvSpec
from worldmodels.round import Round
from worldmodels.vision.base import sample_z
from worldmodels.vision.files import pack_vision, unpack_vision

if TYPE_CHECKING:
    from worldmodels.memory.mdnrnn import MDNRNN

ABOUT, WEIGHTS = "agent.json", "weights.safetensors"
FORMAT = 1


class AgentError(UserError):
    """A folder that contains no agent, or a damaged one."""


class TrainedAgent:
    """V, M and C as a policy of one episode at a time, with the environment it was scored in.

    Attributes:
        policy: the same agent for a batch of episodes, in the form that ``evaluate_policy`` takes.
        env, spec: the environment's configuration and shape.
        about: the values that ``save_agent`` recorded, including ``params``, ``lineage`` and ``score``.
    """

    def __init__(self, policy: Agent, env: EnvConfig, spec: EnvSpec, about: Mapping[str, Any]) -> None:
        self.policy, self.env, self.spec, self.about = policy, env, spec, about
        self._rng = numpy_rng(0, "predict")

    def make_env(self, *, render: bool = False) -> gym.Env:
        """The environment with the agent's observations; with ``render`` its ``render()`` gives RGB frames."""
        return make_env(self.env, render=render)

    def reset(self, seed: int = 0) -> None:
        """Begin an episode; ``seed`` seeds the agent's noise. In an evaluation it is also the environment's seed."""
        self.policy.begin([seed])

    def act(self, obs: NDArray) -> Any:
        """The action for an observation of ``make_env``'s environment, in the form its ``step`` takes."""
        action = self.policy.act(np.asarray(obs)[None], np.zeros(1, np.int64))[0]
        return action if action.ndim else int(action)

    def predict(
        self,
        observation: NDArray,
        state: tuple[NDArray, ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray, tuple[NDArray, ...] | None]:
        """Actions for observations (n, …) of n of ``make_env``'s environments, as Stable-Baselines3's models give them.

        Args:
            state: what the last call returned; None before the first.
            episode_start: (n,) bool: where an episode begins, and M's state with it.
            deterministic: C sees the mean of what V says; else a draw of it, as in its dreams and in ``act``.

        Returns:
            Actions (n,) or (n, A) in the environment's form, and M's state (h, c), each (n, D); None if C sees z alone.
        """
        policy = self.policy
        mu, logvar = policy.vision.encode(np.asarray(observation))
        z = mu if deterministic else sample_z(mu, logvar, self._rng.standard_normal(mu.shape, np.float32))
        if policy.memory is None:
            return self.decide(z), None
        h, c = state or (np.zeros((len(z), policy.memory.hidden_dim), np.float32),) * 2
        if episode_start is not None:
            h, c = (np.where(np.asarray(episode_start)[:, None], 0, x).astype(np.float32) for x in (h, c))
        action = self.decide(np.concatenate([z, h], axis=1))
        from worldmodels.memory.member import advanced

        return action, advanced(policy.memory, z, self.spec.encode_action(action), (h, c))

    def decide(self, features: NDArray[np.float32]) -> NDArray:
        """C's actions, in the environment's form, on what it sees: [z, h] or z, (n, F)."""
        encoded = self.policy.controller.act(self.policy.solution[None], features[None])[0]
        return self.spec.decode_action(encoded)


def save_agent(folder: Path, source: Round, env: EnvConfig, spec: EnvSpec, record: Mapping[str, Any]) -> None:
    """Pack a round's models into ``folder``, atomically; an existing agent is replaced.

    Args:
        env, spec: the environment that the agent was scored in.
        record: plain values to store with them: ``params``, ``lineage``, ``score``.
    """
    from worldmodels.memory.files import pack_memory  # imported late: loading a C that sees only z needs no M

    trained = source.controller
    vae, about_vae = pack_vision(source.vae)
    mdnrnn, about_mdnrnn = pack_memory(source.mdnrnn)
    arrays = {f"vae.{name}": array for name, array in vae.items()}
    arrays |= {f"mdnrnn.{name}": array for name, array in mdnrnn.items()}
    about = {
        "format": FORMAT,
        "env": asdict(env),
        "spec": spec.to_dict(),
        "vae": about_vae,
        "mdnrnn": about_mdnrnn,
        "controller": asdict(trained.controller),
        **record,
    }
    partial = folder.with_name(f".{folder.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed run
    head = {"format": FORMAT, "about": checkpoint.content_digest(about)}
    checkpoint.save(partial / WEIGHTS, arrays | {"controller.best": trained.best}, head)
    checkpoint.write_json(partial / ABOUT, about)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def load_agent(folder: str | Path, **kwargs: Any) -> TrainedAgent:
    """The agent that ``save_agent`` packed, on the CPU.

    Args:
        kwargs: of ``gymnasium.make``, where they are to be other than the agent was scored with.

    Raises:
        AgentError: there is none, it has another format, or its two files do not belong together.
        CheckpointError: its weights are missing or damaged.
    """
    folder = Path(folder)
    arrays, about = _unpacked(folder)
    spec, controller = EnvSpec.from_dict(about["spec"]), Controller(**about["controller"])
    vision = unpack_vision(_part(arrays, "vae"), about["vae"])
    memory = None
    if controller.features == "zh":
        from worldmodels.memory.files import unpack_memory  # imported late: a C that sees only z needs no torch

        memory = unpack_memory(_part(arrays, "mdnrnn"), about["mdnrnn"])
    policy = Agent(spec, vision, memory, controller, arrays["controller.best"][None], name=folder.name)
    env = EnvConfig(**about["env"])
    return TrainedAgent(policy, replace(env, kwargs=env.kwargs | kwargs), spec, about)


def load_agent_memory(folder: str | Path) -> "MDNRNN":
    """M of the agent that ``save_agent`` packed, also of one whose C does not see h.

    Raises:
        AgentError, CheckpointError: as ``load_agent``.
    """
    from worldmodels.memory.files import unpack_memory

    arrays, about = _unpacked(Path(folder))
    return unpack_memory(_part(arrays, "mdnrnn"), about["mdnrnn"])


def _unpacked(folder: Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    about = _read_about(folder / ABOUT)
    arrays, head = checkpoint.load(folder / WEIGHTS)
    if head.get("about") != checkpoint.content_digest(about):
        raise AgentError(f"{folder}: {ABOUT} is not the one that was packed with {WEIGHTS}; export the agent again")
    return arrays, about


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = checkpoint.read_json(path)
    except FileNotFoundError:
        raise AgentError(f"{path}: no such agent; `python -m stages.export {path.parent}` makes one") from None
    except ValueError as error:
        raise AgentError(f"{path}: damaged ({error}); export the agent again") from None
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise AgentError(f"{path}: format {found}, expected {FORMAT}; export the agent again")
    return about


def _part(arrays: Mapping[str, NDArray], name: str) -> dict[str, NDArray]:
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
