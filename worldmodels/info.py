"""What a folder holds, in a few lines: ``python -m worldmodels.info FOLDER``.

The folder is one of recorded episodes (data/episodes/rN), of latents (data/latents/rN), of a model (models/*/rN), or a
packed agent (agents/NAME).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.agents import ABOUT, load_agent
from worldmodels.common import checkpoint
from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError
from worldmodels.environment.manifest import MANIFEST, manifest_digest, read_manifest
from worldmodels.environment.spec import EnvSpec
from worldmodels.environment.store import EpisodeStore

Facts = Iterator[tuple[str, str]]


def facts(folder: Path) -> Facts:
    """What is known of the folder, as (name, text), the first of which says what it is.

    Raises:
        UserError: it is none of these, or it is damaged.
    """
    if (folder / ABOUT).exists():
        return _agent(folder)
    if (folder / MANIFEST).exists():
        return _episodes(folder) if "shards" in read_manifest(folder) else _latents(folder)
    if models := sorted(folder.glob("*.safetensors")):
        return _models(models)
    raise UserError(f"{folder}: neither episodes, latents, a model nor an agent")


def _episodes(folder: Path) -> Facts:
    store = EpisodeStore.open(folder)
    manifest = store.manifests[0]
    after = f", collected after {manifest['previous']}" if manifest["previous"] else ""
    yield "episodes", f"{manifest['episodes']:,} of {_environment(store.spec)}; round {manifest['round']}{after}"
    if len(store):
        yield "steps", f"{manifest['steps']:,}; {_spread(store.lengths)} an episode"
        mean, std, least, most = (manifest["returns"][name] for name in ("mean", "std", "min", "max"))
        yield "returns", f"{mean:.1f} ± {std:.1f}, from {least:.1f} to {most:.1f}"
        yield "policies", ", ".join(f"{name} {count:,}" for name, count in manifest["policies"].items())
        yield "seeds", f"between {manifest['seeds']['min']} and {manifest['seeds']['max']}"
    yield "files", f"{len(store.shards)} shards, {_size(store.shards)}"
    yield "digest", manifest_digest(folder)


def _latents(folder: Path) -> Facts:
    from worldmodels.vision.latents import LatentStore

    store = LatentStore(folder)
    yield "latents", f"{len(store):,} episodes of {_environment(EnvSpec.from_dict(store.spec))}, as z of {store.z_dim}"
    yield "steps", f"{store.steps:,}; {_spread(store.lengths)} an episode; {int(store.terminated.sum()):,} ends"
    yield "files", _size(sorted(folder.iterdir()))
    yield "source", store.source


def _models(paths: list[Path]) -> Facts:
    for path in paths:
        arrays, about = checkpoint.load(path)
        yield str(about.get("kind", "model")), f"{path.name}, {_numbers(arrays)}, {_size([path])}"
        for name, value in about.items():
            if name != "kind":
                yield name, _plain(value)


def _agent(folder: Path) -> Facts:
    agent = load_agent(folder)
    score = agent.about["score"]
    metrics = score["metrics"]
    params = agent.about["params"]["run"]
    yield "agent", f"of {_environment(agent.spec)}; {params['env']}, {params['mode']}, seed {params['seed']}"
    interval = f"{metrics['return_ci95_low']:.1f} to {metrics['return_ci95_high']:.1f}"
    yield "score", f"{metrics['return_mean']:.1f} ({interval}), random {metrics['random_return_mean']:.1f}"
    yield "protocol", score["protocol"]
    yield "real steps", f"{metrics['env_steps']:,}"
    for name, digests in agent.about["lineage"].items():
        yield name, ", ".join(f"{key} {digest[:12]}" for key, digest in digests.items())
    yield "files", _size(sorted(folder.iterdir()))


def _environment(spec: EnvSpec) -> str:
    seen = "frames" if spec.observation == "pixel" else f"states of {spec.obs_shape[0]}"
    kind = "actions" if spec.action == "discrete" else "continuous actions"
    return f"{spec.id} ({seen}, {spec.action_dim} {kind})"


def _spread(lengths: NDArray[np.int64]) -> str:
    return f"{lengths.min():,} to {lengths.max():,}, median {int(np.median(lengths)):,}"


def _numbers(arrays: dict[str, NDArray]) -> str:
    return f"{sum(array.size for array in arrays.values()):,} numbers"


def _size(paths: list[Path]) -> str:
    size = sum(path.stat().st_size for path in paths)
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _plain(value: Any) -> str:
    return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)


def main() -> None:
    """Print the facts."""
    parser = argparse.ArgumentParser(prog="worldmodels.info", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with one_line_errors():
        rows = list(facts(folder))
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name:<{width}}  {text}" for name, text in rows))


if __name__ == "__main__":
    main()
