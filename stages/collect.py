"""Stage collect: record a round of episodes in the real environment."""

from stages.common.job import Job, run_stage
from stages.common.live import live
from worldmodels.common.params import load_section
from worldmodels.common.seeding import Role, env_seeds, stream_seed
from worldmodels.environment.collect import collect, mix, write_round
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import Policy, random_policy
from worldmodels.environment.spec import EnvSpec
from worldmodels.minari import recorded
from worldmodels.round import Round


def policies(job: Job, config: CollectConfig, spec: EnvSpec) -> list[Policy]:
    """The policy of each episode: random in the first round; later mostly the controller and samples of its search."""
    random = random_policy(config.random_policy, spec)
    before = Round(job.previous.name)
    if not before.files.controller.exists():
        return [random] * config.random_episodes
    name, exploration = job.previous.name, config.exploration
    best = before.agent(exploration=exploration, name=f"controller-{name}")
    samples = before.agent(before.controller.samples, exploration=exploration, name=f"samples-{name}")
    controlled = 1 - config.random_fraction
    shares = [config.random_fraction, controlled * config.sample_fraction, controlled * (1 - config.sample_fraction)]
    return mix([random, samples, best], shares, config.controller_episodes, stream_seed(job.run.seed, job.name))


def main(job: Job) -> None:
    """Record episodes with the previous round's controller, or with the random policy if there is none."""
    env, config = load_section("env", EnvConfig), load_section("collect", CollectConfig)
    before = job.previous
    models = [path.parent for path in (before.vae, before.mdnrnn, before.controller)]
    scratch = job.scratch(["env", "collect"], [before.episodes, *models])
    with live(job) as report:
        if config.minari and not before.controller.exists():
            given, folder = recorded(config.minari, env), job.round.episodes
            manifest = write_round(folder, given, spec_of(env), config.episodes_per_shard, before.episodes)
        else:
            players = policies(job, config, spec_of(env))
            manifest = collect(
                env,
                config,
                players,
                env_seeds(Role.COLLECT, len(players), job.run.seed, job.round.name),
                runtime=job.runtime,
                folder=job.round.episodes,
                previous=before.episodes,
                scratch=scratch,
            )
        returns = {f"return_{name}": value for name, value in manifest["returns"].items()}
        what = f"{manifest['episodes']:,} episodes of {manifest['steps']:,} steps"
        report.made(f"{what}, mean return {returns['return_mean']:.1f}", job.round.episodes)
        report.summary({"episodes": manifest["episodes"], "env_steps": manifest["steps"], **returns})
    scratch.clear()


if __name__ == "__main__":
    run_stage("collect", main)
