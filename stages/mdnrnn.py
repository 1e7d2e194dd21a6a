"""Stage mdnrnn: train M on the latents of all rounds so far."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.common.job import Job, run_stage
from stages.common.live import Live, live
from worldmodels.common.params import load_section
from worldmodels.holdout import split_episodes
from worldmodels.memory.baselines import baselines
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.files import load_memory, save_memory
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.open_loop import OpenLoop, open_loop
from worldmodels.memory.train import train_memory
from worldmodels.memory.validate import validate
from worldmodels.report.figures import open_loop_error
from worldmodels.vision.latents import LatentStore
from worldmodels.vision.probe import probed

TOLD = (1, 15)  # steps ahead whose R² is a gate
READABLE = 0.5  # the least R² at which M still knows a value


def check(report: Live, memory: MDNRNN, store: LatentStore, stream: tuple[Any, ...]) -> dict[str, float | None]:
    """Measure on held-out episodes what dreams need of M, report it, say what falls short, and return the gates."""
    train, held_out = split_episodes(len(store), stream[0])
    beaten = baselines(store, memory.stats, train, held_out)
    ahead = open_loop(memory, store, held_out, stream, fitted_to=train)
    validated = validate(memory, store, held_out, stream)
    nll = validated["nll"]
    report.summary({"baselines": beaten._asdict()})
    gates: dict[str, float | None] = {"nll": nll, **beaten._asdict(), "reward_correlation": None}
    if np.isfinite(ahead.reward_correlation):
        report.summary({"reward_correlation": ahead.reward_correlation})
        gates["reward_correlation"] = ahead.reward_correlation
    gates |= {name: validated.get(name) for name in ("reward_at_gain", "reward_at_loss", "reward_elsewhere")}
    if nll > min(beaten):
        print(
            f"mdnrnn: M's predictions ({nll:.2f} nats a dimension) are no better than those without a model"
            f" ({min(beaten):.2f}): more updates, or a z with less noise in it (vae.beta, vae.free_bits)"
        )
    return gates | check_open_loop(report, ahead, probed(store.spec.get("truth", ())))


def check_open_loop(report: Live, ahead: OpenLoop, known: Mapping[int, str]) -> dict[str, float | None]:
    """Report the error by steps ahead, say which of the known values are lost when, and return the gates among them."""
    columns = {name: [getattr(row, name) for row in ahead.rows] for name in ("horizon", "error", "constant_error")}
    open_loop_error(report.images / "open_loop.png", *columns.values())
    explained = {name: [float(row.r_squared[i]) for row in ahead.rows] for i, name in known.items()}
    report.table("open_loop", columns | {f"r_squared_{name}": values for name, values in explained.items()})
    gates = {}
    for name, values in explained.items():
        by_horizon = dict(zip(columns["horizon"], values, strict=True))
        if not np.isfinite(values).any():  # nobody has recorded it
            continue
        lasts = max((horizon for horizon, value in by_horizon.items() if value >= READABLE), default=0)
        if lasts < max(by_horizon):
            print(f"mdnrnn: after {lasts} steps without looking M has lost {name}")
        told = {f"r_squared_{name}_{horizon}": by_horizon[horizon] for horizon in TOLD if horizon in by_horizon}
        gates |= {name: value if np.isfinite(value) else None for name, value in told.items()}
    return gates


def main(job: Job) -> None:
    """Train M on the latents, starting from the previous round's weights, and measure its open-loop error."""
    config = load_section("mdnrnn", MDNRNNConfig)
    store, before = LatentStore(job.round.latents), job.previous.mdnrnn
    scratch = job.scratch(["mdnrnn"], [job.round.latents, before.parent])
    stream = (job.stage,)  # the same in every round, so that a held-out episode stays held out
    with live(job) as report:
        memory = train_memory(
            store,
            config,
            seed=job.run.seed,
            stream=stream,
            previous=load_memory(before) if before.exists() else None,
            scratch=scratch,
            log=report.log,
            device=job.runtime.torch_device(),
        )
        save_memory(job.round.mdnrnn, memory)
        report.summary({"reward_form": memory.config.reward_form})
        gates = check(report, memory, store, (job.run.seed, *stream))
        report.made(f"M, {gates['nll']:.2f} nats a dimension on held-out episodes", job.round.mdnrnn.parent)
        report.gates(gates, before.parent, job.round.mdnrnn.parent)
    scratch.clear()


if __name__ == "__main__":
    run_stage("mdnrnn", main)
