"""The models of a round, loaded together."""

from dataclasses import dataclass

import torch

from stages.common.job import Job
from worldmodels.control.agent import Agent
from worldmodels.control.controller import TrainedController, load_controller
from worldmodels.environment.spec import EnvSpec
from worldmodels.memory.files import load_memory
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.vision.base import Vision
from worldmodels.vision.files import BEST, load_vision

CONTROLLER = "controller.pt"


@dataclass(frozen=True)
class Models:
    """V, M and C of one round, on the CPU: agents act there, in worker processes."""

    vision: Vision
    memory: MDNRNN
    controller: TrainedController

    def agent(self, spec: EnvSpec, solutions: torch.Tensor | None = None, **options: object) -> Agent:
        """The three as a policy; with C's best parameters where no others are given."""
        trained = self.controller
        rows = trained.best[None] if solutions is None else solutions
        return Agent(spec, self.vision, self.memory, trained.controller, rows, **options)  # type: ignore[arg-type]


def load_models(job: Job) -> Models | None:
    """The models of the job's round; None in round r0, which has none."""
    if not (job.model("controller") / CONTROLLER).exists():
        return None
    return Models(
        load_vision(job.model("vae") / BEST),
        load_memory(job.model("mdnrnn") / BEST),
        load_controller(job.model("controller") / CONTROLLER),
    )
