"""Stage vae: train V on all frames so far; for a state environment, fit its normaliser."""

import math
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from stages.common.job import Job, run_stage
from stages.common.live import Live, live
from worldmodels.common.params import load_section
from worldmodels.environment.store import EpisodeStore
from worldmodels.holdout import split_episodes
from worldmodels.report.figures import reconstructions, state_ranges
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.encode import encode_observations
from worldmodels.vision.files import load_vision, save_vision
from worldmodels.vision.normaliser import fit_normaliser
from worldmodels.vision.probe import fit_probe, probed, r_squared

if TYPE_CHECKING:
    from worldmodels.vision.vae import VAE

PICTURED = 16  # frames
PROBED = 20_000  # observations, about, in whole episodes, that a probe is fitted to, and as many that it is tried on
READABLE = 0.8  # the least R² at which V sees a value


def train(job: Job, config: VAEConfig, store: EpisodeStore, report: Live) -> None:
    """Train V of a pixel environment."""
    from worldmodels.environment.frames import FrameLoader  # imported late: states need no torch
    from worldmodels.vision.train import train_vision

    before, device = job.previous.vae, job.runtime.torch_device()
    scratch = job.scratch(["vae"], [job.round.episodes, before.parent])
    loader = FrameLoader(
        store,
        batch_size=config.batch_size,
        seed=job.run.seed,
        device=device,
    )
    vae = train_vision(
        loader,
        config,
        seed=job.run.seed,
        stream=(job.name,),
        previous=load_vision(before) if before.exists() else None,
        scratch=scratch,
        log=report.log,
        device=device,
    )
    save_vision(job.round.vae, vae)
    seen = np.concatenate(list(islice(loader.validation_batches(), 20)))
    frames = seen[np.linspace(0, len(seen) - 1, PICTURED).astype(int)]
    reconstructions(report.plots / "reconstructions.png", frames, vae.decode(vae.encode(frames)[0]))
    report.summary({"frames": loader.frames})
    if store.spec.truth:
        check(report, vae, store, job.run.seed)
    scratch.clear()


def check(report: Live, vae: "VAE", store: EpisodeStore, seed: int) -> None:
    """Measure how well the known values can be read from mu on held-out episodes; say which cannot."""
    parts = []
    for episodes in split_episodes(len(store), seed):
        enough = math.ceil(PROBED / store.lengths[episodes].mean())
        chosen = episodes[np.linspace(0, len(episodes) - 1, min(len(episodes), enough)).astype(int)]
        read = [(encode_observations(vae, one.obs, 256)[0], one.truth) for one in store.episodes(chosen)]
        parts.append([np.concatenate(part) for part in zip(*read, strict=True)])
    (mu, truth), (mu_unseen, truth_unseen) = parts
    explained = r_squared(truth_unseen, fit_probe(mu, truth).read(mu_unseen))
    known = {name: float(explained[column]) for column, name in probed(store.spec.truth).items()}
    report.summary({"r_squared": {name: value for name, value in known.items() if np.isfinite(value)}})
    for name, value in known.items():
        if value < READABLE:
            print(
                f"vae: {name} can hardly be read from z (R² {value:.2f}, below {READABLE}): a larger"
                " vae.foreground_weight, a smaller vae.beta or more vae.epochs"
            )


def normalise(job: Job, store: EpisodeStore, report: Live) -> None:
    """Fit V of a state environment to all states so far.

    A linear C is found in a few generations if the states that it flies through are centred and of unit size, and those
    of random flight are not (Mania et al. 2018, section 3.2, on normalising the states of linear policies).
    """
    statistics = store.state_statistics()
    save_vision(job.round.vae, fit_normaliser(statistics))
    state_ranges(report.plots / "states.png", statistics)
    report.summary({"states": statistics["count"]})


def main(job: Job) -> None:
    """Fit V to all rounds so far; a VAE starts from the previous round's weights."""
    config = load_section("vae", VAEConfig)
    store = EpisodeStore.open_all(job.round.episodes)
    with live(job) as report:
        if store.spec.observation == "state":
            normalise(job, store, report)
        else:
            train(job, config, store, report)
        report.made("V", job.round.vae.parent)


if __name__ == "__main__":
    run_stage("vae", main)
