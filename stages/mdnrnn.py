"""Stage mdnrnn: train M on the latents of all rounds so far."""

from stages.common.job import Job, run_stage
from stages.common.live import live
from worldmodels.common.params import load_section
from worldmodels.holdout import split_episodes
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.files import load_memory, save_memory
from worldmodels.memory.open_loop import open_loop
from worldmodels.memory.train import train_memory
from worldmodels.report.figures import open_loop_error
from worldmodels.vision.latents import LatentStore


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
        _, held_out = split_episodes(len(store), job.run.seed)
        rows = open_loop(memory, store, held_out, (job.run.seed, *stream))
        columns = {name: [getattr(row, name) for row in rows] for name in ("horizon", "error", "constant_error")}
        report.table("open_loop", columns)
        open_loop_error(report.images / "open_loop.png", *columns.values())
    scratch.clear()


if __name__ == "__main__":
    run_stage("mdnrnn", main)
