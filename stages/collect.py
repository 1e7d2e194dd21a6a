"""Stage collect: record a round of episodes in the real environment."""

from stages.common.job import Job, run_stage
from stages.common.live import live
from stages.common.models import Models, load_models
from worldmodels.common.params import load_section
from worldmodels.common.seeding import Role, env_seeds, stream_seed
from worldmodels.environment.collect import CollectConfig, collect, mix
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import Policy, random_policy
from worldmodels.environment.spec import EnvSpec


def policies(job: Job, config: CollectConfig, spec: EnvSpec, models: Models | None) -> list[Policy]:
    """Who plays each episode: at random in the first round; then mostly the controller and variations of it."""
    random = random_policy(config.random_policy, spec)
    if models is None:
        return [random] * config.random_episodes
    best = models.agent(spec, exploration=config.exploration, name=f"controller-{job.previous}")
    samples = models.agent(
        spec, models.controller.samples, exploration=config.exploration, name=f"samples-{job.previous}"
    )
    controlled = 1 - config.random_fraction
    shares = [config.random_fraction, controlled * config.sample_fraction, controlled * (1 - config.sample_fraction)]
    return mix([random, samples, best], shares, config.controller_episodes, stream_seed(job.run.seed, job.name))


def main(job: Job) -> None:
    """Record episodes with the previous round's controller, or at random where there is none."""
    env, config = load_section("env", EnvConfig), load_section("collect", CollectConfig)
    before = job.before
    inputs = [before.episodes, before.model("vae"), before.model("mdnrnn"), before.model("controller")]
    scratch = job.scratch(["env", "collect"], inputs)
    players = policies(job, config, spec_of(env), load_models(before))
    seeds = env_seeds(Role.COLLECT, len(players), job.run.seed, job.round)
    with live(job) as report:
        manifest = collect(
            env,
            config,
            players,
            seeds,
            runtime=job.runtime,
            folder=job.episodes,
            previous=before.episodes,
            scratch=scratch,
        )
        returns = {f"return_{name}": value for name, value in manifest["returns"].items()}
        report.summary({"episodes": manifest["episodes"], "env_steps": manifest["steps"], **returns})
    scratch.clear()


if __name__ == "__main__":
    run_stage("collect", main)
