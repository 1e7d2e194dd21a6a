"""Stage controller: evolve C, in the dream, in the real environment, or in one after the other."""

import torch

from stages.common.job import Job, run_stage
from stages.common.live import live
from stages.common.models import CONTROLLER
from worldmodels.common.params import load_section
from worldmodels.control.agent import Agent
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, load_controller
from worldmodels.control.fitness import DreamFitness, RealFitness
from worldmodels.control.train import train_controller
from worldmodels.dream.simulator import Dream, DreamConfig
from worldmodels.dream.starts import Starts
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.spec import EnvSpec
from worldmodels.memory.files import BEST, load_memory
from worldmodels.vision.files import load_vision
from worldmodels.vision.latents import LatentStore


def main(job: Job) -> None:
    """Evolve C, starting from the previous round's."""
    env = load_section("env", EnvConfig)
    config, dreaming = load_section("controller", ControllerConfig), load_section("dream", DreamConfig)
    latents = LatentStore(job.latents)
    spec = EnvSpec.from_dict(latents.spec)
    vision_file, memory_file = job.model("vae") / BEST, job.model("mdnrnn") / BEST
    memory = load_memory(memory_file, job.runtime.torch_device())
    controller = Controller.build(
        config, z_dim=memory.z_dim, rnn_dim=memory.hidden_dim, action=spec.action, action_dim=spec.action_dim
    )
    dream = Dream(memory, Starts(latents, dreaming.starts), dreaming, config.features)
    agent = Agent(
        spec, load_vision(vision_file), load_memory(memory_file), controller, torch.zeros(1, controller.num_params)
    )
    path = job.before.model("controller") / CONTROLLER
    scratch = job.scratch(
        ["env", "dream", "controller"], [vision_file, memory_file, job.latents, job.before.model("controller")]
    )
    with live(job) as report:
        trained = train_controller(
            controller,
            config,
            {
                "dream": DreamFitness(
                    dream=dream,
                    controller=controller,
                    runtime=job.runtime,
                    seed=job.run.seed,
                    candidates_per_task=config.candidates_per_task,
                ),
                "real": RealFitness(
                    env=env,
                    agent=agent,
                    runtime=job.runtime,
                    seed=job.run.seed,
                    episodes_per_task=config.episodes_per_task,
                ),
            },
            seed=job.run.seed,
            stream=(job.round,),
            previous=load_controller(path) if path.exists() else None,
            scratch=scratch,
            log=report.log,
        )
        report.summary({"parameters": controller.num_params, "validation_return": trained.validation_return})
        trained.save(job.model("controller") / CONTROLLER)
    scratch.clear()


if __name__ == "__main__":
    run_stage("controller", main)
