"""One round of the pipeline, opened: its data and its models."""

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
    """A round by its name. What it holds is opened when it is first asked for; models are on the CPU.

    ``Round("r3").controller.best`` are the parameters of the third round's C. Round ``r0`` has neither data nor models.

    Args:
        name: ``r0``, ``r1``, …
        root: the project's folder.

    Attributes:
        files: where it lies.

    Raises:
        DataError, LatentError, CheckpointError: from the properties, where it has not been made or is damaged.
    """

    def __init__(self, name: str, root: Path = Path()) -> None:
        self.files = RoundFiles(name, root)

    @property
    def spec(self) -> EnvSpec:
        """The environment that was played in, as the episodes have it; as the latents have it where these are alone."""
        if self.files.episodes.exists() or not self.files.latents.exists():
            return EnvSpec.from_dict(read_manifest(self.files.episodes)["spec"])
        return EnvSpec.from_dict(self.latents.spec)

    @cached_property
    def episodes(self) -> EpisodeStore:
        """The episodes of this round and of those before it."""
        return EpisodeStore.open_all(self.files.episodes)

    @cached_property
    def latents(self) -> LatentStore:
        """The same, as this round's V sees them."""
        return LatentStore(self.files.latents)

    @cached_property
    def vae(self) -> Vision:
        """V; of a state environment its normaliser."""
        return load_vision(self.files.vae)

    @cached_property
    def mdnrnn(self) -> "MDNRNN":
        """M."""
        from worldmodels.memory.files import load_memory  # here, because a C that sees z does without M and torch

        return load_memory(self.files.mdnrnn)

    @cached_property
    def controller(self) -> TrainedController:
        """C, and what its search left."""
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
