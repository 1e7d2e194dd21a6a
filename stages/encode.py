"""Stage encode: encode all episodes so far as sequences of (mu, logvar)."""

from stages.common.job import Job, run_stage
from stages.common.live import live
from worldmodels.common.checkpoint import digest
from worldmodels.common.params import load_section
from worldmodels.environment.store import EpisodeStore
from worldmodels.vision.config import EncodeConfig
from worldmodels.vision.encode import encode_episodes
from worldmodels.vision.files import load_vision


def main(job: Job) -> None:
    """Encode the episodes of all rounds so far with this round's V."""
    config = load_section("encode", EncodeConfig)
    here, store = job.round, EpisodeStore.open_all(job.round.episodes)
    device = job.runtime.torch_device() if store.spec.observation == "pixel" else "cpu"  # states need no torch
    with live(job) as report:
        latents = encode_episodes(
            load_vision(here.vae, device),
            store.episodes(),
            config,
            encode_action=store.spec.encode_action,
            spec=store.spec.to_dict(),
            source=digest([here.episodes, here.vae]),
            folder=here.latents,
            total=len(store),
        )
        report.made(f"{len(latents):,} episodes as z of {latents.z_dim}", here.latents)
        report.summary({"episodes": len(latents), "env_steps": latents.steps})


if __name__ == "__main__":
    run_stage("encode", main)
