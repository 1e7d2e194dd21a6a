"""Collecting a round of episodes in worker processes: one task, one shard."""

import copy
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from worldmodels.checkpoint import Scratch
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.manifest import write_manifest
from worldmodels.environment.policy import Policy
from worldmodels.environment.rollout import rollout
from worldmodels.environment.shard import read_field, write_shard
from worldmodels.environment.spec import spec_of
from worldmodels.params import Count, Fraction, Natural, settings
from worldmodels.records import Episode
from worldmodels.runtime import RuntimeConfig, run_tasks
from worldmodels.seeding import numpy_rng


@settings
class CollectConfig:
    """How a round's episodes are collected.

    Attributes:
        random_episodes: episodes of a round that has no controller yet.
        controller_episodes: episodes of a round that has one.
        random_policy: ``uniform``, or ``brownian`` for temporally correlated actions.
        random_fraction: share of a controller's round that the random policy plays all the same.
        sample_fraction: share of the controller's episodes played by samples of the search distribution.
        exploration: how much the controller's actions are disturbed: probability of a random action (discrete), or
            standard deviation of the noise in encoded units (box).
        max_steps: steps after which a collected episode is truncated; 0 for the environment's own limit.
        episodes_per_shard: episodes in a file, and in a worker's task.
        envs_per_task: episodes played together, so that the networks act on a batch. Sets the memory a worker needs.
    """

    random_episodes: Count = 100
    controller_episodes: Count = 100
    random_policy: Literal["uniform", "brownian"] = "uniform"
    random_fraction: Fraction = 0.1
    sample_fraction: Fraction = 0.5
    exploration: Fraction = 0.1
    max_steps: Natural = 0
    episodes_per_shard: Count = 32
    envs_per_task: Count = 8


@plain_dataclass(frozen=True)
class _Task:
    env: EnvConfig
    collect: CollectConfig
    policies: list[Policy]
    seeds: list[int]
    path: Path


def mix(policies: Sequence[Policy], shares: Sequence[float], count: int, seed: int) -> list[Policy]:
    """``count`` policies, of each the share given, to the nearest whole episode, in an order drawn from ``seed``.

    Args:
        shares: one per policy, of sum 1.
    """
    ends = np.rint(np.cumsum(shares) * count).astype(int)
    dealt = np.repeat(np.arange(len(policies)), np.diff(ends, prepend=0))
    return [policies[i] for i in numpy_rng(seed, "mix").permutation(dealt)]


def collect(
    env_config: EnvConfig,
    config: CollectConfig,
    policies: Sequence[Policy],
    seeds: Sequence[int],
    *,
    runtime: RuntimeConfig,
    folder: Path,
    previous: Path | None,
    scratch: Scratch,
) -> dict[str, Any]:
    """Play the episode of ``seeds[i]`` with ``policies[i]`` and put all of them into ``folder``.

    The bytes depend neither on the number of workers nor on having been killed: whole shards wait in
    ``scratch.folder`` and are not collected again, and ``folder`` appears in one move with its manifest in it.
    Policies that are the same object act on a batch of their episodes.

    Args:
        policies: one per seed; empty with empty ``seeds``, which make a round without data.
        folder: the round's; its name is the round's name. Replaced if it is there.
        previous: folder of the round before, a sibling.

    Returns:
        The manifest (``write_manifest``).

    Raises:
        WorkerError: a worker died or hung.
        ParamError: the environment cannot be made.
    """
    spec = spec_of(env_config)
    made = scratch.folder / "shards"
    made.mkdir(parents=True, exist_ok=True)
    _sweep(made)
    tasks = _tasks(env_config, config, list(policies), list(seeds), made)
    with tqdm(desc="collect", unit="step", position=1, disable=None, leave=False) as steps:
        todo = [task for task in tasks if not task.path.exists()]
        for count in run_tasks(_collect_shard, todo, runtime, desc=f"collect {folder.name}", unit="shard"):
            steps.update(count)
    _sweep(made)
    shards = [task.path for task in tasks]
    manifest = write_manifest(made, shards, round_name=folder.name, spec=spec, previous=previous)
    _move(made, folder)
    return manifest


def _tasks(
    env: EnvConfig, config: CollectConfig, policies: list[Policy], seeds: list[int], folder: Path
) -> list[_Task]:
    if len(policies) != len(seeds):
        raise ValueError(f"{len(seeds)} seeds but {len(policies)} policies")
    size = config.episodes_per_shard
    return [
        _Task(env, config, policies[i : i + size], seeds[i : i + size], folder / f"shard-{i // size:05d}.h5")
        for i in range(0, len(seeds), size)
    ]


def _collect_shard(task: _Task) -> int:
    """Play one task's episodes into its shard; returns their steps."""
    write_shard(task.path, _played(task))
    return int(read_field(task.path, "length").sum())


def _played(task: _Task) -> Iterator[Episode]:
    policies = copy.deepcopy(task.policies)  # they have state, and threads share what is not copied
    for policy in {id(policy): policy for policy in policies}.values():
        seeds = [seed for seed, player in zip(task.seeds, policies, strict=True) if player is policy]
        for i in range(0, len(seeds), task.collect.envs_per_task):
            group = seeds[i : i + task.collect.envs_per_task]
            yield from rollout(task.env, policy, group, task.collect.max_steps)


def _sweep(folder: Path) -> None:
    """Remove half-written shards, which a kill leaves behind, or a worker that has outlived its killed parent."""
    for partial in folder.glob(".*"):
        partial.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
