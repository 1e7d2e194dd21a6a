"""Stage init: check every parameter before any work starts, and create round r0."""

from collections.abc import Mapping
from pathlib import Path

from stages.common.job import Job, RunConfig, run_stage
from worldmodels.common.checkpoint import Scratch, write_json
from worldmodels.common.params import PARAMS_FILE, ParamError, parse_section, read_params, settings
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.control.config import ControllerConfig, EvaluateConfig
from worldmodels.control.evaluate import scoring_env, scoring_spec
from worldmodels.dream.config import DreamConfig
from worldmodels.environment.collect import collect
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import rehearse, spec_of
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.minari import recorded
from worldmodels.vision.config import EncodeConfig, VAEConfig

SECTIONS = {
    "run": RunConfig,
    "env": EnvConfig,
    "collect": CollectConfig,
    "vae": VAEConfig,
    "encode": EncodeConfig,
    "mdnrnn": MDNRNNConfig,
    "dream": DreamConfig,
    "controller": ControllerConfig,
    "evaluate": EvaluateConfig,
    "runtime": RuntimeConfig,
}


@settings
class RoundConfig:
    """One entry of the section ``rounds``.

    Attributes:
        previous: the round whose controller collects for this one.
    """

    previous: str


def check_params(params: Mapping[str, object]) -> dict[str, object]:
    """Every section parsed as its configuration dataclass.

    Raises:
        ParamError: the first value that is not accepted, or a section that is missing or unknown.
    """
    expected = {*SECTIONS, "rounds"}
    if odd := expected ^ set(params):
        raise ParamError(
            f"{PARAMS_FILE}: section '{min(odd)}' is {'unknown' if min(odd) in params else 'missing'};"
            f" sections are {', '.join(sorted(expected))}"
        )
    configs = {name: parse_section(name, params[name], config) for name, config in SECTIONS.items()}
    check_rounds(params["rounds"], configs["run"])
    check_lives(configs["env"], configs["encode"])
    return configs


def check_lives(env: EnvConfig, encode: EncodeConfig) -> None:
    """Check that ``encode.lives`` names something that is recorded.

    Raises:
        ParamError: it does not.
    """
    if encode.lives and encode.lives not in env.truth:
        raise ParamError(
            f"{PARAMS_FILE}: encode.lives = '{encode.lives}': no value of env.truth; accepted:"
            f" {', '.join(env.truth) or 'none, it is empty'}"
        )


def check_rounds(rounds: object, run: RunConfig) -> None:
    """Check that the rounds form a chain from r0 to the final round of length ``run.rounds``.

    Raises:
        ParamError: they do not.
    """
    if not isinstance(rounds, Mapping):
        raise ParamError(
            f"{PARAMS_FILE}: rounds = {rounds!r}: expected a mapping of rounds;"
            f" `dvc exp run -S run.rounds={run.rounds}` composes it"
        )
    before = "r0"
    for name, value in rounds.items():
        previous = parse_section(f"rounds.{name}", value, RoundConfig).previous
        if previous != before:
            raise ParamError(f"{PARAMS_FILE}: rounds.{name}.previous = {previous!r}: expected {before!r}")
        before = name
    if len(rounds) != run.rounds:
        raise ParamError(
            f"{PARAMS_FILE}: run.rounds = {run.rounds}: expected {len(rounds)}, for so many are listed in the section"
            f" 'rounds'; `dvc exp run -S run.rounds={run.rounds}` composes both"
        )
    if before != run.final_round:
        raise ParamError(f"{PARAMS_FILE}: run.final_round = {run.final_round!r}: expected the last round, {before!r}")


def main(job: Job) -> None:
    """Check all of params.yaml and create round r0: no data, no models, the random policy."""
    configs = check_params(read_params())
    job.runtime.check()
    env, collecting, scoring = configs["env"], configs["collect"], configs["evaluate"]
    assert isinstance(env, EnvConfig)
    assert isinstance(collecting, CollectConfig)
    assert isinstance(scoring, EvaluateConfig)
    scored, films = scoring_env(env, scoring), scoring.videos > 0
    notes = rehearse(env, films=films and scored == env)
    scoring_spec(env, scoring, spec_of(env))
    if scored != env:
        notes += rehearse(scored, films=films)
    for note in notes:
        print(f"init: {note}")
    if collecting.minari:
        next(recorded(collecting.minari, env), None)  # what does not fit is told now
    scratch = Scratch(Path(".scratch"), "init", "")  # not the one that experiments in other folders share
    collect(env, collecting, [], [], runtime=job.runtime, folder=job.round.episodes, previous=None, scratch=scratch)
    scratch.clear()
    for path in (job.round.vae, job.round.mdnrnn, job.round.controller):
        write_json(path.with_name("none.json"), {"round": "r0", path.stem: None})


if __name__ == "__main__":
    run_stage("init", main)
