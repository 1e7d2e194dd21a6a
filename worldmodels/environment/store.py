"""The episodes of one round, or of all rounds up to it: immutable shards and a manifest."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.checkpoint import file_digest
from worldmodels.environment.manifest import manifest_digest, read_manifest
from worldmodels.environment.shard import DataError, read_field, read_shard
from worldmodels.environment.spec import EnvSpec
from worldmodels.environment.statistics import merge_statistics
from worldmodels.records import Episode


class EpisodeStore:
    """Recorded episodes, in the order they were collected, oldest round first.

    Attributes:
        spec: of the environment.
        rounds: the rounds' folders, oldest first. manifests: one per round (``write_manifest``).
        shards: the files.
        shard_lengths: per shard, (n,) steps of its episodes.
        lengths: (N,) steps of every episode.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.rounds = folders
        self.manifests = [read_manifest(folder) for folder in folders]
        if any(manifest["spec"] != self.manifests[0]["spec"] for manifest in self.manifests):
            raise DataError(f"{folders[-1]}: its rounds were collected in different environments; collect them anew")
        self.spec = EnvSpec.from_dict(self.manifests[0]["spec"])
        self.shards = [
            _whole(folder / shard["file"], shard["digest"])
            for folder, manifest in zip(folders, self.manifests, strict=True)
            for shard in manifest["shards"]
        ]
        self.shard_lengths = [read_field(path, "length") for path in self.shards]
        self.lengths: NDArray[np.int64] = np.concatenate([*self.shard_lengths, np.zeros(0, np.int64)])

    @classmethod
    def open(cls, folder: Path) -> "EpisodeStore":
        """One round.

        Raises:
            DataError: names the missing or damaged file; every shard's digest is checked.
        """
        return cls([folder])

    @classmethod
    def open_all(cls, folder: Path) -> "EpisodeStore":
        """This round and all previous rounds, which are sibling folders named in the manifests.

        Raises:
            DataError: as ``open``; or a round is not the one that the next was collected after.
        """
        folders = [folder]
        while (manifest := read_manifest(folders[0]))["previous"]:
            before = folder.parent / manifest["previous"]
            if manifest_digest(before) != manifest["previous_digest"]:
                raise DataError(
                    f"{before}: {folders[0].name} was collected after another version of it; rerun collect@"
                    f"{folders[0].name}"
                )
            folders.insert(0, before)
        return cls(folders)

    def __len__(self) -> int:
        """Number of episodes, N."""
        return len(self.lengths)

    def episodes(self, indices: Iterable[int] | None = None) -> Iterator[Episode]:
        """All episodes, or those at ``indices``, in the store's order; one in memory at a time."""
        wanted = np.zeros(len(self), bool)
        wanted[slice(None) if indices is None else list(indices)] = True
        for path, mask in zip(self.shards, self.per_shard(wanted), strict=True):
            if mask.any():
                yield from read_shard(path, np.flatnonzero(mask))

    def per_shard(self, values: NDArray) -> list[NDArray]:
        """(N, …) values, one per episode, split by shard."""
        ends = np.cumsum([len(lengths) for lengths in self.shard_lengths])
        return np.split(values, ends[:-1]) if self.shards else []

    def state_statistics(self) -> dict[str, Any]:
        """Statistics of all states: count; mean, std, min, max per dimension; binary: dimensions with only 0 and 1."""
        return merge_statistics(manifest["state"] for manifest in self.manifests if manifest["state"])


def _whole(path: Path, digest: str) -> Path:
    if not path.exists():
        raise DataError(f"{path}: missing shard; `dvc pull` or `dvc repro` brings it")
    if file_digest(path) != digest:
        raise DataError(f"{path}: damaged shard, its digest is not the manifest's; delete its folder and rerun")
    return path
