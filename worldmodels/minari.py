"""Episodes to and from Minari, the Farama Foundation's format of recorded data.

    python -m worldmodels.minari export data/episodes/r1 ENVIRONMENT/NAME-v0
    python -m worldmodels.minari import ENVIRONMENT/NAME-v0 FOLDER

Data sets lie where Minari keeps them (``MINARI_DATASETS_PATH``). What is exported are episodes as the models see them.
What comes back may be that, or the raw observations of ``env.id``, as others record them; each of these then goes
through what the section ``env`` of params.yaml says. A run whose first round is a data set:
``collect.minari=ENVIRONMENT/NAME-v0``.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError, load_section
from worldmodels.environment.collect import write_round
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.make import TRUTH, make_env, see
from worldmodels.environment.spec import EnvSpec
from worldmodels.environment.store import EpisodeStore
from worldmodels.records import Episode

TOGETHER = 32  # episodes in memory
POLICY = "minari"
_OURS = " as worldmodels sees it"  # the end of a description by which ``export`` is known


def recorded(name: str, config: EnvConfig) -> Iterator[Episode]:
    """The episodes of a data set as this environment's; one in memory at a time.

    Raises:
        UserError: Minari has no such data set, or it is of other observations or actions; the message names them.
    """
    data, spec = _load(name), spec_of(config)
    with closing(make_env(config)) as env:
        convert = _converter(name, data, config, spec, env)
        _check_actions(name, data.action_space, env.unwrapped.action_space, spec)
        for one in data.iterate_episodes():
            obs = convert(one.observations)
            values = {name: np.asarray(getattr(one, f"{name}s")) for name in ("reward", "termination", "truncation")}
            if not (np.isfinite(obs).all() and np.isfinite(values["reward"]).all()):
                raise UserError(f"{name}: episode {one.id} has a number that is not finite")
            truncated = values["truncation"].astype(bool)
            terminated = values["termination"].astype(bool)
            truncated[-1] |= not terminated[-1]  # whoever stopped recording did not end the task
            actions = np.asarray(one.actions)
            yield Episode(
                obs=obs,
                action=actions.astype(np.int64) if spec.action == "discrete" else _flat(actions),
                reward=values["reward"].astype(np.float32),
                terminated=terminated,
                truncated=truncated,
                seed=int(one.id),
                policy=POLICY,
                truth=_known(one.infos, len(obs), spec),
            )


def _known(infos: Any, observations: int, spec: EnvSpec) -> NDArray[np.float32] | None:
    """The values that ``env.truth`` names, as ``export`` has written them; NaN if it has not."""
    if not spec.truth:
        return None
    known = np.asarray((infos or {}).get(TRUTH, np.nan), np.float32)
    return np.broadcast_to(known, (observations, len(spec.truth))).copy()


def _load(name: str) -> Any:
    minari = _package()
    try:
        return minari.load_dataset(name)
    except Exception as error:  # of several kinds, as it looks for it here and in its remote
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: Minari does not give it ({reason}); `minari list local` names what is here") from None


def _package() -> Any:
    try:
        import minari
    except ImportError:
        raise UserError("Minari is not installed; `uv sync --extra minari` brings it") from None
    return minari


def _converter(name: str, data: Any, config: EnvConfig, spec: EnvSpec, env: gym.Env) -> Callable[[Any], NDArray]:
    """What turns an episode's observations into what the models see."""
    given, raw = data.observation_space, env.unwrapped.observation_space
    dtype = np.uint8 if spec.observation == "pixel" else np.float32
    ours = str(data.storage.metadata.get("description", "")).endswith(_OURS)
    if ours and getattr(given, "shape", None) == spec.obs_shape and given.dtype == dtype:
        return lambda observations: np.asarray(observations, dtype)
    if config.pixels or config.frame_skip > 1 or config.max_pool:
        raise UserError(
            f"{name}: raw observations {given} cannot be taken for this environment, whose are drawn or of several"
            f" frames; accepted: {spec.obs_shape} {np.dtype(dtype)}, as `export` writes them"
        )
    if given != raw:
        raise UserError(f"{name}: observations are {given}; accepted: {raw}, or {spec.obs_shape} {np.dtype(dtype)}")
    return lambda observations: np.stack([see(env, one) for one in _steps(given, observations)])


def _steps(space: gym.Space, observations: Any) -> Iterator[Any]:
    """An episode's observations one by one: of a Dict or Tuple space they are one of arrays."""
    if isinstance(space, gym.spaces.Dict):
        parts = [_steps(part, observations[key]) for key, part in space.spaces.items()]
        yield from (dict(zip(space.spaces, step, strict=True)) for step in zip(*parts, strict=True))
    elif isinstance(space, gym.spaces.Tuple):
        parts = [_steps(part, value) for part, value in zip(space.spaces, observations, strict=True)]
        yield from zip(*parts, strict=True)
    else:
        yield from observations


def _check_actions(name: str, given: gym.Space, raw: gym.Space, spec: EnvSpec) -> None:
    if spec.action == "discrete":
        fits = isinstance(given, gym.spaces.Discrete) and (given.n, given.start) == (spec.action_dim, spec.action_start)
    else:
        fits = isinstance(given, gym.spaces.Box) and (given == raw or given == spec.action_space())
    if not fits:
        raise UserError(f"{name}: actions are {given}; accepted: {spec.action_space()}")


def _flat(actions: NDArray) -> NDArray[np.float32]:
    return actions.reshape(len(actions), -1).astype(np.float32)


def export(folder: Path, name: str) -> Any:
    """A round's episodes as a new data set of Minari, which it returns.

    Raises:
        UserError: there is such a data set already, or it is no name for one.
    """
    minari = _package()
    from minari.data_collector import EpisodeBuffer

    if not re.fullmatch(r"([\w-]+/)*[\w-]+-v\d+", name):
        raise UserError(f"{name}: no name for a data set; accepted: NAME-v0, ENVIRONMENT/NAME-v0, …")
    if name in minari.list_local_datasets():
        raise UserError(f"{name}: Minari has such a data set already; `minari delete {name}` removes it")
    store = EpisodeStore.open(folder)

    spec = store.spec
    low, high = (0, 255) if spec.observation == "pixel" else (-np.inf, np.inf)
    dtype = np.uint8 if spec.observation == "pixel" else np.float32
    seen = gym.spaces.Box(low, high, spec.obs_shape, dtype)
    episodes = (
        EpisodeBuffer(
            seed=one.seed,
            observations=one.obs,  # pyright: ignore[reportArgumentType]  # arrays are taken, too
            actions=one.action,  # pyright: ignore[reportArgumentType]
            rewards=one.reward.tolist(),
            terminations=one.terminated.tolist(),
            truncations=one.truncated.tolist(),
            infos={} if one.truth is None else {TRUTH: one.truth},
        )
        for one in store.episodes()
    )
    try:
        data = minari.create_dataset_from_buffers(
            name,
            list(islice(episodes, TOGETHER)),
            observation_space=seen,
            action_space=spec.action_space(),
            description=f"{spec.id}{_OURS}",
        )
        while more := list(islice(episodes, TOGETHER)):
            data.update_dataset_from_buffer(more)
    except BaseException:
        if name in minari.list_local_datasets():
            minari.delete_dataset(name)  # a part of it would be taken for all
        raise
    return data


def main() -> None:
    """Export or import."""
    parser = argparse.ArgumentParser(
        prog="worldmodels.minari", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    out = commands.add_parser("export")
    out.add_argument("folder", type=Path)
    out.add_argument("name")
    back = commands.add_parser("import")
    back.add_argument("name")
    back.add_argument("folder", type=Path)
    given = parser.parse_args()
    with one_line_errors():
        if given.command == "export":
            data = export(given.folder, given.name)
            print(f"{given.name}: {data.total_episodes:,} episodes, {data.total_steps:,} steps")
        else:
            if given.folder.exists():
                raise UserError(f"{given.folder}: is there already; an import makes a new folder")
            env, size = load_section("env", EnvConfig), load_section("collect", CollectConfig).episodes_per_shard
            manifest = write_round(given.folder, recorded(given.name, env), spec_of(env), size)
            print(f"{given.folder}: {manifest['episodes']:,} episodes, {manifest['steps']:,} steps")


if __name__ == "__main__":
    main()
