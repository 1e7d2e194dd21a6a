"""Hours of full presets on more cores, computed from measured rates: ``python -m benchmarks.scaling FIGURES.json``.

Nothing is measured here. Environments and dreams are distributed over the workers in whole tasks, so a stage with fewer
tasks than workers leaves some idle. V and M train on one machine, here at the measured rate for any number of cores:
how they scale further is not known.
"""

import argparse
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from dvc.utils.hydra import compose_and_dump
from omegaconf import OmegaConf

ENVS = ("carracing", "carracing_lowcost")
CORES = (1, 16, 64)
LENGTH = 1000  # frames of a CarRacing episode without early termination
RANDOM = 30  # steps of a random episode that is cut when it wins nothing (collect.patience), as measured


class Rates(NamedTuple):
    """Measured rates per second: per core for distributed work, per machine for the rest.

    Attributes:
        frame: the environment's steps without drawing. draw: frames drawn. think: actions chosen.
    """

    cores: int
    frame: float
    draw: float
    think: float
    vae: float
    encode: float
    mdnrnn: float
    dream: float


def rates(figures: list[dict[str, Any]], path: str, cores: int) -> Rates:
    """The rates, with environment steps at the rate of figure ``path``."""
    ours = {row["path"]: row["ours"] for row in figures}
    undrawn = next(row["limit"] for row in figures if row["path"] == path)
    draw, think = _difference(ours[path], undrawn), _difference(ours["agent"], ours["carracing"])
    trained = ours["vae_train"], ours["encode"], ours["mdnrnn_train"]
    return Rates(cores, undrawn, draw, think, *trained, ours["dream"] / cores)


def _difference(both: float, one: float) -> float:
    """The rate of what is done besides ``one`` at the rate ``both``; noise can make its time negative."""
    seconds = 1 / both - 1 / one
    return 1 / seconds if seconds > 0 else math.inf


def composed(env: str) -> dict[str, Any]:
    """The parameters of ``env`` with mode=full."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        conf = os.path.abspath("conf")  # noqa: PTH100
        compose_and_dump(str(path), conf, None, "config", conf, [f"env={env}", "mode=full"])
        return OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[return-value]


def hours(params: dict[str, Any], rate: Rates, cores: int) -> dict[str, float]:
    """Hours of every stage, all rounds together."""
    collecting, controller, evaluate = params["collect"], params["controller"], params["evaluate"]
    rounds, repeats = len(params["rounds"]), params["env"]["frame_skip"]
    length = LENGTH / repeats
    lengths = [RANDOM if collecting["patience"] else length, *[length] * (rounds - 1)]
    episodes = [collecting["random_episodes"], *[collecting["controller_episodes"]] * (rounds - 1)]
    steps = [count * each for count, each in zip(episodes, lengths, strict=True)]
    seen = [sum(steps[: k + 1]) for k in range(rounds)]  # each round trains on all episodes so far

    def played(steps: float, *, acting: bool = True) -> float:
        """Seconds of an episode of ``steps``, with the opening that is run and not seen."""
        each = repeats / rate.frame + 1 / rate.draw + acting / rate.think
        return params["env"]["skip_start"] / rate.frame + steps * each

    def trained(section: str, per_update: int) -> float:
        """Steps that V or M reads."""
        most = params[section]["max_updates"] * per_update or math.inf
        return sum(min(params[section]["epochs"] * count, most) for count in seen)

    def shared(tasks: int, seconds: float) -> float:
        """Seconds of ``tasks`` tasks of ``seconds`` each on the available cores."""
        return math.ceil(tasks / cores) * seconds

    size = collecting["episodes_per_shard"]
    collect = sum(
        shared(math.ceil(count / size), size * played(lengths[k], acting=k > 0)) for k, count in enumerate(episodes)
    )
    together = controller["candidates_per_task"]
    dream = params["dream"]["horizon"] / rate.dream
    generation = shared(math.ceil(controller["popsize"] / together), together * controller["rollouts"] * dream)
    searched = rounds * controller["generations"] + (rounds - 1) * controller["fresh_generations"]
    validations = searched // controller["validation_every"]  # a mean's dreams are one task
    batch, fresh = controller["episodes_per_task"], bool(controller["fresh_generations"])
    finals = 0.0
    for k in range(rounds):
        rivals = controller["finalists"] * (1 + (fresh and k > 0)) + (k > 0)
        finals += shared(math.ceil(rivals * controller["final_rollouts"] / batch), batch * played(length))
    size = evaluate["episodes_per_task"]
    scored = math.ceil(evaluate["episodes"] / size)
    seconds = {
        "collect": collect,
        "vae": trained("vae", params["vae"]["batch_size"]) / rate.vae,
        "encode": sum(seen) / rate.encode,
        "mdnrnn": trained("mdnrnn", params["mdnrnn"]["batch_size"] * params["mdnrnn"]["sequence_length"]) / rate.mdnrnn,
        "controller, dreams": searched * generation,
        "controller, validation": validations * controller["validation_rollouts"] * dream,
        "controller, final": finals,
        "evaluate": sum(shared(scored, size * played(length, acting=acting)) for acting in (True, False)),
    }
    return {stage: value / 3600 for stage, value in seconds.items()}


def main() -> None:
    """Print a table of hours for every environment."""
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description="What the full presets take on more cores.")
    parser.add_argument("figures", type=Path, help="what `python -m benchmarks --json` wrote")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="of the machine they were measured on")
    parser.add_argument("--candidates-per-task", type=int, help="instead of the preset's")
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text())
    for env in ENVS:
        params = composed(env)
        if arguments.candidates_per_task:
            params["controller"]["candidates_per_task"] = arguments.candidates_per_task
        rate = rates(figures, env, arguments.cores)
        columns = [hours(params, rate, cores) for cores in CORES]
        print(f"\n| `{env}`, hours | " + " | ".join(f"{cores} cores" for cores in CORES) + " |")
        print("|---|" + "---|" * len(CORES))
        for stage in columns[0]:
            print(f"| {stage} | " + " | ".join(f"{column[stage]:.2g}" for column in columns) + " |")


if __name__ == "__main__":
    main()
