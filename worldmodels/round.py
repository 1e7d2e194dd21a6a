"""Access to one round of the pipeline: its data and its models."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.control.agent import Agent
from worldmodels.control.controller import TrainedController, load_controller
from worldmodels.environment.manifest import read_manifest
from worldmodels.environment.spec import EnvSpec
from worldmodels.environment.store import EpisodeStore
from worldmodels.files import RoundFiles
from worldmodels.vision.base import Vision
from worldmodels.vision.files import load_vision
from worldmodels.vision.latents import LatentStore

if TYPE_CHECKING:
    from worldmodels.memory.mdnrnn import MDNRNN


class Round:
    """A round by its name. Data and models are loaded on first access; models are on the CPU.

    ``Round("r3").controller.best`` are the parameters of the third round's C. Round ``r0`` has neither data nor models.

    Args:
        name: ``r0``, ``r1``, …
        root: the project's folder.

    Attributes:
        files: its paths.

    Raises:
        DataError, LatentError, CheckpointError: from the properties, if the file is missing or damaged.
    """

    def __init__(self, name: str, root: Path = Path()) -> None:
        self.files = RoundFiles(name, root)

    @property
    def spec(self) -> EnvSpec:
        """The environment of the episodes, or of the latents where only these are present."""
        if self.files.episodes.exists() or not self.files.latents.exists():
            return EnvSpec.from_dict(read_manifest(self.files.episodes)["spec"])
        return EnvSpec.from_dict(self.latents.spec)

    @cached_property
    def episodes(self) -> EpisodeStore:
        """The episodes of this round and of all previous rounds."""
        return EpisodeStore.open_all(self.files.episodes)

    @cached_property
    def latents(self) -> LatentStore:
        """The same episodes, encoded by this round's V."""
        return LatentStore(self.files.latents)

    @cached_property
    def vae(self) -> Vision:
        """V; for a state environment its normaliser."""
        return load_vision(self.files.vae)

    @cached_property
    def mdnrnn(self) -> "MDNRNN":
        """M."""
        from worldmodels.memory.files import load_memory  # imported late: a C that sees only z needs no M and no torch

        return load_memory(self.files.mdnrnn)

    @cached_property
    def controller(self) -> TrainedController:
        """C, and the other results of its search."""
        return load_controller(self.files.controller)

    def agent(self, solutions: NDArray[np.floating] | None = None, **options: Any) -> Agent:
        """V, M and C as a policy.

        Args:
            solutions: (n, N) parameters of C instead of the best.
            options: of ``Agent``.
        """
        trained = self.controller
        memory = self.mdnrnn if trained.controller.features == "zh" else None
        rows = trained.best[None] if solutions is None else solutions
        return Agent(self.spec, self.vae, memory, trained.controller, rows, **options)
