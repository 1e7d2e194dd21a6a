"""Stage controller: evolve C in the dream, in the real environment, or in both, one after the other."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.common.job import Job, run_stage
from stages.common.live import Live, live
from worldmodels.common.params import load_section
from worldmodels.common.seeding import Role, torch_rng
from worldmodels.control.agent import Agent
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, FeatureScale, TrainedController
from worldmodels.control.dream_check import DreamCheck, dream_check
from worldmodels.control.fitness import DreamFitness, RealFitness
from worldmodels.control.panel import ENDS, Panel, ends, panel_of
from worldmodels.control.train import train_controller
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import Starts
from worldmodels.environment.config import EnvConfig
from worldmodels.memory.files import load_memory
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.report.figures import dream_against_real
from worldmodels.round import Round
from worldmodels.vision.base import Vision
from worldmodels.vision.normaliser import StateNormaliser

PANEL_ROLLOUTS = 64
SCALED_BY = 2048  # recorded states
RANKS = 0.7  # the least rank correlation of a dream that tells the panel's controllers apart


def check_panel(panel: Panel, vision: StateNormaliser, dream: DreamFitness) -> tuple[DreamCheck, NDArray[np.float32]]:
    """Whether the dream ranks controllers of known real return, and how their dreams end, (P, 4); it says if not."""
    solutions = panel.solutions(vision, dream.controller.feature_dim)
    result = dream.run(solutions, PANEL_ROLLOUTS, Role.CHECK, "panel")
    checked = dream_check(panel.returns, result.returns.double().mean(1).cpu().numpy())
    if checked.rank_correlation < RANKS:
        print(
            f"controller: this dream does not tell good controllers from bad: the rank correlation of its returns with"
            f" those of {len(checked.real)} controllers in reality is {checked.rank_correlation:.2f}, below {RANKS}"
        )
    parts = (part.cpu().numpy() for part in (result.terminated, result.last_reward, result.left))
    return checked, ends(*parts)


def report_panel(report: Live, panel: Panel, checked: DreamCheck, endings: NDArray[np.float32]) -> None:
    """Write each controller's return and ends, in the dream and in reality, and their comparison."""
    metrics = {name: getattr(checked, name) for name in ("rank_correlation", "slope", "mean_error")}
    columns: dict[str, list] = {"real_return": checked.real.tolist(), "dream_return": checked.dream.tolist()}
    for i, name in enumerate(ENDS):
        metrics |= {f"dream_{name}": float(endings[:, i].mean()), f"real_{name}": float(panel.ends[:, i].mean())}
        columns |= {
            f"dream_{name}": endings[checked.kept, i].tolist(),
            f"real_{name}": panel.ends[checked.kept, i].tolist(),
        }
    report.summary({"panel": metrics})
    report.table("panel", columns)
    dream_against_real(report.plots / "panel.png", checked.dream, checked.real, checked.rank_correlation)


def previous_controller(before: Round, vision: Vision) -> TrainedController | None:
    """The previous round's C. If V is a normaliser, C uses ``vision``'s z as it used its own V's.

    To a VAE's changed z, and to h of an M trained again, the search has to adapt it.
    """
    if not before.files.controller.exists():
        return None
    if isinstance(vision, StateNormaliser) and isinstance(before.vae, StateNormaliser):
        return before.controller.composed(*vision.map_to(before.vae))
    return before.controller


def feature_scale(
    job: Job, here: Round, memory: MDNRNN, config: ControllerConfig, dreaming: DreamConfig
) -> FeatureScale:
    """Mean and spread of C's features at recorded states, wherever dreams start."""
    dream = Dream(memory, Starts.of(here.latents, replace(dreaming, initial_share=0.0)), dreaming, config.features)
    generator = torch_rng(job.run.seed, job.round.name, "feature-scale")
    return FeatureScale(*(x.cpu().numpy() for x in dream.feature_statistics(SCALED_BY, generator)))


def main(job: Job) -> None:
    """Evolve C, starting from the previous round's controller."""
    env = load_section("env", EnvConfig)
    config, dreaming = load_section("controller", ControllerConfig), load_section("dream", DreamConfig)
    here, before = Round(job.round.name), Round(job.previous.name)
    spec, memory = here.spec, load_memory(here.files.mdnrnn, job.runtime.torch_device())
    controller = Controller.build(
        config, z_dim=memory.z_dim, rnn_dim=memory.hidden_dim, action=spec.action, action_dim=spec.action_dim
    )
    dream = Dream(memory, Starts.of(here.latents, dreaming), dreaming, config.features)
    follows = here.mdnrnn if config.features == "zh" else None
    agent = Agent(spec, here.vae, follows, controller, np.zeros((1, controller.num_params)))
    inputs = [
        here.files.vae,
        here.files.mdnrnn,
        here.files.latents,
        before.files.controller.parent,
        before.files.vae.parent,
    ]
    scratch = job.scratch(["env", "dream", "controller"], inputs)
    in_dream = DreamFitness(
        dream=dream,
        controller=controller,
        runtime=job.runtime,
        seed=job.run.seed,
        candidates_per_task=config.candidates_per_task,
    )
    in_reality = RealFitness(
        env=env, agent=agent, runtime=job.runtime, seed=job.run.seed, episodes_per_task=config.episodes_per_task
    )
    panel, vision = panel_of(env), here.vae
    scale = feature_scale(job, here, memory, config, dreaming) if config.standardise else None
    with live(job) as report:
        linear = replace(in_dream, controller=replace(controller, hidden_dim=0))  # as the panel's controllers are
        panel_check = check_panel(panel, vision, linear) if panel and isinstance(vision, StateNormaliser) else None
        trained = train_controller(
            controller,
            config,
            {"dream": in_dream, "real": in_reality},
            seed=job.run.seed,
            stream=(job.round.name,),
            previous=previous_controller(before, vision),
            scale=scale,
            scratch=scratch,
            log=report.log,
        )
        report.summary({"parameters": controller.num_params, "validation_return": trained.validation_return})
        if panel and panel_check:
            report_panel(report, panel, *panel_check)
        trained.save(here.files.controller)
        value = f"C of {controller.num_params:,} parameters, {trained.validation_return:.1f} in its last validation"
        report.made(value, here.files.controller.parent)
    scratch.clear()


if __name__ == "__main__":
    run_stage("controller", main)
