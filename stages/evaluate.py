"""Stage evaluate: score the last round's agent on held-out seeds and check its dream against the real environment."""

from pathlib import Path

import numpy as np
import torch

from stages.common.job import Job, run_stage
from stages.common.live import Live, live
from worldmodels.common.errors import one_line
from worldmodels.common.params import ParamError, load_section
from worldmodels.common.seeding import Role, env_seeds, torch_rng
from worldmodels.control.agent import Agent
from worldmodels.control.config import EvaluateConfig
from worldmodels.control.dream_check import DreamCheck, dream_check
from worldmodels.control.evaluate import evaluate_policy, scoring_env, scoring_spec, summary
from worldmodels.control.fitness import DreamFitness, RealFitness
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import Starts
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.spec import EnvSpec
from worldmodels.records import EvalResult
from worldmodels.report.figures import dream_against_real, return_histogram
from worldmodels.report.films import film_agent, film_dream
from worldmodels.round import Round

Metrics = dict[str, float | int | bool]

VIDEOS = Path("results") / "evaluate" / "videos"


def check(
    job: Job, env: EnvConfig, config: EvaluateConfig, last: Round, fitness: DreamFitness
) -> tuple[DreamCheck, list[str]]:
    """Compare random, earlier and last controllers in reality and in the dream; also returns each one's kind."""
    trained = last.controller
    rng = torch_rng(job.run.seed, job.name, "random controllers")
    random = torch.randn(config.check_controllers, trained.controller.num_params, generator=rng).numpy()
    spread = np.linspace(0, len(trained.samples) - 1, min(config.check_controllers, len(trained.samples)))
    samples = trained.samples[spread.astype(int)]
    solutions = np.concatenate([random, trained.lineage, samples, trained.best[None]])
    kinds = (
        ["random"] * len(random)
        + ["best of an earlier round"] * len(trained.lineage)
        + ["sample of the search"] * len(samples)
        + ["best of the last round"]
    )
    real = RealFitness(env=env, agent=last.agent(), runtime=job.runtime, seed=job.run.seed)
    scores = real(solutions, config.check_episodes, Role.CHECK)
    dreamt = fitness(solutions, config.dream_rollouts, Role.CHECK)
    checked = dream_check(scores.returns.mean(axis=1), dreamt.returns.mean(axis=1))
    return checked, [kind for kind, kept in zip(kinds, checked.kept, strict=True) if kept]


def report_returns(report: Live, agent: EvalResult, random: EvalResult, metrics: Metrics, spec: EnvSpec) -> None:
    """Write one row per held-out episode, and a histogram of both policies' returns."""
    names = ("seeds", "returns", "lengths", "terminated", "truncated")
    columns = {name.removesuffix("s"): getattr(agent, name).tolist() for name in names}
    report.histogram("return", agent.returns)
    report.histogram("random_return", random.returns)
    report.table("returns", columns | {"random_return": random.returns.tolist()})
    interval = (float(metrics["return_ci95_low"]), float(metrics["return_ci95_high"]))
    return_histogram(report.images / "returns.png", agent.returns, random.returns, interval, solved=spec.solved_return)


def report_check(report: Live, checked: DreamCheck, kinds: list[str]) -> None:
    """Write each controller's return in reality and in the dream."""
    columns = {"controller": kinds, "real_return": checked.real.tolist(), "dream_return": checked.dream.tolist()}
    report.table("dream_check", columns)
    image = report.images / "dream_check.png"
    dream_against_real(image, checked.dream, checked.real, checked.rank_correlation, kinds)


def film(
    config: EvaluateConfig,
    scored: EnvConfig,
    spec: EnvSpec,
    agent: Agent,
    last: Round,
    dream: Dream,
    seeds: list[int],
) -> None:
    """Record the agent's first held-out episodes, and the first of them again next to its dream, if it can be drawn."""
    VIDEOS.mkdir(parents=True, exist_ok=True)
    try:
        for number, seed in enumerate(seeds[: config.videos]):
            film_agent(VIDEOS / f"agent-{number}.mp4", scored, agent, seed)
        if config.videos:
            trained, path = last.controller, VIDEOS / "dream.mp4"
            film_dream(path, scored, spec, agent, last.vae, dream, trained.controller, trained.best, seeds[0])
    except Exception as error:  # an environment that draws may raise anything, and the score stands without films
        print(f"evaluate: no film: {one_line(error)}")


def main(job: Job) -> None:
    """Score the agent and the random policy on the same held-out seeds, check the dream, and record videos of both."""
    env, config = load_section("env", EnvConfig), load_section("evaluate", EvaluateConfig)
    dreaming = load_section("dream", DreamConfig)
    last = Round(job.run.final_round)
    if not last.files.controller.exists():
        raise ParamError(f"run.final_round = {job.run.final_round!r}: it has no controller; run `dvc repro` first")
    latents, trained, spec = last.latents, last.controller, last.spec
    scored, scored_spec = scoring_env(env, config), scoring_spec(env, config, spec)
    agent = last.agent()
    dream = Dream(last.mdnrnn, Starts.of(latents, dreaming), dreaming, trained.controller.features)
    fitness = DreamFitness(dream=dream, controller=trained.controller, runtime=job.runtime, seed=job.run.seed)
    seeds = env_seeds(Role.EVALUATE, config.episodes)
    with live(job) as report:
        result, random = (
            evaluate_policy(scored, policy, seeds, job.runtime, episodes_per_task=config.episodes_per_task)
            for policy in (agent, RandomPolicy(spec))
        )
        dreamed = fitness(trained.best[None], config.dream_rollouts, Role.EVALUATE)
        checked, kinds = check(job, env, config, last, fitness)  # in the environment of the dream, not in `scored`
        metrics = summary(result, scored_spec.solved_return)
        report.summary(
            metrics
            | {
                "random_return_mean": float(random.returns.mean()),
                "dream_return_mean": float(dreamed.returns.mean()),
                "dream_rank_correlation": checked.rank_correlation,
                "env_steps": latents.steps + trained.env_steps,
            }
        )
        report_returns(report, result, random, metrics, scored_spec)
        report_check(report, checked, kinds)
        interval = f"{metrics['return_ci95_low']:.1f} to {metrics['return_ci95_high']:.1f}"
        report.made(f"a mean return of {metrics['return_mean']:.1f} ({interval})", job.results)
        film(config, scored, spec, agent, last, dream, seeds)


if __name__ == "__main__":
    run_stage("evaluate", main)
