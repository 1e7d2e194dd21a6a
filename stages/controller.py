"""Stage controller: evolve C in the dream, in the real environment, or in both, one after the other."""

import numpy as np

from stages.common.job import Job, run_stage
from stages.common.live import live
from worldmodels.common.params import load_section
from worldmodels.control.agent import Agent
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller
from worldmodels.control.fitness import DreamFitness, RealFitness
from worldmodels.control.train import train_controller
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import Starts
from worldmodels.environment.config import EnvConfig
from worldmodels.memory.files import load_memory
from worldmodels.round import Round


def main(job: Job) -> None:
    """Evolve C, starting from the previous round's controller."""
    env = load_section("env", EnvConfig)
    config, dreaming = load_section("controller", ControllerConfig), load_section("dream", DreamConfig)
    here, before = Round(job.round.name), Round(job.previous.name)
    spec, memory = here.spec, load_memory(here.files.mdnrnn, job.runtime.torch_device())
    controller = Controller.build(
        config, z_dim=memory.z_dim, rnn_dim=memory.hidden_dim, action=spec.action, action_dim=spec.action_dim
    )
    dream = Dream(memory, Starts(here.latents, dreaming.starts), dreaming, config.features)
    follows = here.mdnrnn if config.features == "zh" else None
    agent = Agent(spec, here.vae, follows, controller, np.zeros((1, controller.num_params)))
    inputs = [here.files.vae, here.files.mdnrnn, here.files.latents, before.files.controller.parent]
    scratch = job.scratch(["env", "dream", "controller"], inputs)
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
            stream=(job.round.name,),
            previous=before.controller if before.files.controller.exists() else None,
            scratch=scratch,
            log=report.log,
        )
        report.summary({"parameters": controller.num_params, "validation_return": trained.validation_return})
        trained.save(here.files.controller)
    scratch.clear()


if __name__ == "__main__":
    run_stage("controller", main)
