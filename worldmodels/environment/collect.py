"""Collection of a round of episodes in worker processes: one task, one shard."""

import copy
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.params import UserError
from worldmodels.common.progress import progress_bar
from worldmodels.common.runtime import RuntimeConfig, run_tasks
from worldmodels.common.seeding import numpy_rng
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.manifest import write_manifest
from worldmodels.environment.policy import Policy
from worldmodels.environment.rollout import rollout
from worldmodels.environment.shard import read_field, write_shard
from worldmodels.environment.spec import EnvSpec
from worldmodels.records import Episode


class _Task(NamedTuple):
    players: list[int]  # index of the policy of each seed
    seeds: list[int]
    path: Path


def mix(policies: Sequence[Policy], shares: Sequence[float], count: int, seed: int) -> list[Policy]:
    """``count`` policies in the given shares, rounded to whole episodes, in an order drawn from ``seed``.

    Args:
        shares: one per policy, of sum 1.
    """
    ends = np.rint(np.cumsum(shares) * count).astype(int)
    players = np.repeat(np.arange(len(policies)), np.diff(ends, prepend=0))
    return [policies[i] for i in numpy_rng(seed, "mix").permutation(players)]


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
    """Run the episode of ``seeds[i]`` with ``policies[i]`` and write all episodes to ``folder``.

    The bytes depend neither on the number of workers nor on interruptions: complete shards are kept in
    ``scratch.folder`` and not collected again, and ``folder`` appears in one move, with its manifest in it. Policies
    that are the same object act on a batch of their episodes. Workers write the shards themselves: on several machines,
    ``scratch.folder`` must be on a file system that they share.

    Args:
        policies: one per seed; empty with empty ``seeds``, which create a round without data.
        folder: the round's; its name is the round's name. Replaced if it exists.
        previous: folder of the previous round, a sibling.

    Returns:
        The manifest (``write_manifest``).

    Raises:
        WorkerError: a worker died or hung.
        ParamError: the environment cannot be made.
    """
    spec = spec_of(env_config)
    made = scratch.folder.resolve() / "shards"  # absolute: a cluster's worker has another working folder
    made.mkdir(parents=True, exist_ok=True)
    _sweep(made)
    players = {id(policy): policy for policy in policies}
    number = {name: i for i, name in enumerate(players)}
    play = partial(_collect_shard, env_config, config, list(players.values()))
    tasks = _tasks(config.episodes_per_shard, [number[id(policy)] for policy in policies], list(seeds), made)
    with progress_bar(desc="collect", unit="step", position=1) as steps:
        todo = [task for task in tasks if not task.path.exists()]
        for count in run_tasks(play, todo, runtime, desc=f"collect {folder.name}", unit="shard"):
            steps.update(count)
    _sweep(made)
    shards = [task.path for task in tasks]
    manifest = write_manifest(made, shards, round_name=folder.name, spec=spec, previous=previous)
    _move(made, folder)
    return manifest


def write_round(
    folder: Path, episodes: Iterator[Episode], spec: EnvSpec, episodes_per_shard: int, previous: Path | None = None
) -> dict[str, Any]:
    """Write episodes that were recorded elsewhere as a round; ``folder`` appears in one move.

    Returns:
        The manifest (``write_manifest``).

    Raises:
        UserError: there is no episode.
    """
    made, shards = folder.with_name(f".{folder.name}-partial"), []
    shutil.rmtree(made, ignore_errors=True)  # left by a killed run
    while some := list(islice(episodes, episodes_per_shard)):
        shards.append(made / f"shard-{len(shards):05d}.h5")
        write_shard(shards[-1], some)
    if not shards:
        raise UserError(f"{folder}: there is no episode to write")
    manifest = write_manifest(made, shards, round_name=folder.name, spec=spec, previous=previous)
    _move(made, folder)
    return manifest


def _tasks(size: int, players: list[int], seeds: list[int], folder: Path) -> list[_Task]:
    if len(players) != len(seeds):
        raise ValueError(f"{len(seeds)} seeds but {len(players)} policies")
    return [
        _Task(players[i : i + size], seeds[i : i + size], folder / f"shard-{i // size:05d}.h5")
        for i in range(0, len(seeds), size)
    ]


def _collect_shard(env: EnvConfig, config: CollectConfig, policies: list[Policy], task: _Task) -> int:
    """Write one task's episodes to its shard; returns their number of steps."""
    write_shard(task.path, _played(env, config, policies, task))
    return int(read_field(task.path, "length").sum())


def _played(env: EnvConfig, config: CollectConfig, policies: list[Policy], task: _Task) -> Iterator[Episode]:
    for player in dict.fromkeys(task.players):
        policy = copy.deepcopy(policies[player])  # a policy has state, and threads would share it
        seeds = [seed for seed, other in zip(task.seeds, task.players, strict=True) if other == player]
        for i in range(0, len(seeds), config.envs_per_task):
            batch = seeds[i : i + config.envs_per_task]
            yield from rollout(env, policy, batch, config.max_steps, patience=config.patience)


def _sweep(folder: Path) -> None:
    """Remove partial shards, left by a kill or by a worker that outlived its killed parent."""
    for half in folder.glob(".*"):
        half.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
