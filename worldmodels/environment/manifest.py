"""Manifest of one round of episodes: metadata that stages and readers need without opening a shard."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.common import checkpoint
from worldmodels.common.checkpoint import file_digest
from worldmodels.environment.shard import DataError, read_field
from worldmodels.environment.spec import EnvSpec
from worldmodels.environment.statistics import merge_statistics, state_statistics

MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the round in ``folder``.

    Raises:
        DataError: it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        return checkpoint.read_manifest(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; `dvc repro` or `dvc pull` brings the episodes") from None
    except ValueError as error:
        raise DataError(f"{path}: damaged manifest ({error}); delete its folder and rerun") from None


def manifest_digest(folder: Path) -> str:
    """SHA-256 of the manifest; through the digests in it, of the whole round.

    Raises:
        DataError: there is none.
    """
    read_manifest(folder)
    return file_digest(folder / MANIFEST)


def write_manifest(
    folder: Path, shards: list[Path], *, round_name: str, spec: EnvSpec, previous: Path | None
) -> dict[str, Any]:
    """Describe the shards in ``folder``; written last, so that its presence marks a complete round.

    Args:
        shards: may be empty: a round before any data.
        previous: folder of the previous round, whose manifest's digest is recorded.

    Returns:
        round, previous, previous_digest, spec, shards (file, digest, episodes, steps), episodes, steps, seeds (min,
        max), policies (name: episodes), returns (mean, std, min, max); state (``state_statistics``), None for pixels.
    """
    lengths = [read_field(path, "length") for path in shards]
    returns = [_returns(path, length) for path, length in zip(shards, lengths, strict=True)]
    seeds = [seed for path in shards for seed in read_field(path, "seed").tolist()]
    policies = Counter(name.decode() for path in shards for name in read_field(path, "policy").tolist())
    manifest = {
        "round": round_name,
        "previous": previous.name if previous else None,
        "previous_digest": manifest_digest(previous) if previous else None,
        "spec": spec.to_dict(),
        "shards": [_describe(path, length) for path, length in zip(shards, lengths, strict=True)],
        "episodes": len(seeds),
        "steps": sum(int(length.sum()) for length in lengths),
        "seeds": {"min": min(seeds), "max": max(seeds)} if seeds else None,
        "policies": dict(sorted(policies.items())),
        "returns": _summary(np.concatenate(returns)) if seeds else None,
        "state": _states(shards) if seeds and spec.observation == "state" else None,
    }
    checkpoint.write_manifest(folder / MANIFEST, manifest)
    return manifest


def _describe(path: Path, length: NDArray[np.int64]) -> dict[str, Any]:
    return {"file": path.name, "digest": file_digest(path), "episodes": len(length), "steps": int(length.sum())}


def _returns(path: Path, length: NDArray[np.int64]) -> NDArray[np.float64]:
    first_steps = np.concatenate([[0], length.cumsum()[:-1]])
    return np.add.reduceat(read_field(path, "reward").astype(np.float64), first_steps)


def _summary(values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(getattr(values, name)()) for name in ("mean", "std", "min", "max")}


def _states(shards: list[Path]) -> dict[str, Any]:
    return merge_statistics(state_statistics(read_field(path, "obs")) for path in shards)
