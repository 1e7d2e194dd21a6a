"""Encoding of episodes into latents, with memory bounded by one episode."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.params import UserError
from worldmodels.common.progress import progress_bar
from worldmodels.records import Episode, LatentEpisode
from worldmodels.vision.base import Vision
from worldmodels.vision.config import EncodeConfig
from worldmodels.vision.latents import LatentStore, LatentWriter

_ROWS = 32  # of a batch, or a multiple: oneDNN compiles, and keeps, a convolution for each size of a batch


def encode_episodes(
    vision: Vision,
    episodes: Iterable[Episode],
    config: EncodeConfig,
    *,
    encode_action: Callable[[NDArray], NDArray],
    spec: Mapping[str, Any],
    source: str,
    folder: Path,
    total: int | None = None,
) -> LatentStore:
    """Encode episodes, in their order, into a ``LatentStore`` in ``folder``, atomically.

    Args:
        encode_action: the environment's actions (T, …) to (T, A) float32 (``EnvSpec.encode_action``).
        spec: the environment's description (``EnvSpec.to_dict``).
        source: digest of the episodes and of V.
        total: number of episodes, for the progress bar.

    Raises:
        LatentError: there was no episode.
    """
    bar = progress_bar(episodes, total=total, desc="encode", unit="episode")
    with LatentWriter(folder, spec=spec, source=source) as writer:
        for episode in bar:
            mu, logvar = encode_observations(vision, episode.obs, config.batch_size)
            writer.add(
                LatentEpisode(
                    mu=mu,
                    logvar=logvar,
                    action=np.asarray(encode_action(episode.action), dtype=np.float32),
                    reward=episode.reward,
                    terminated=_ends(config, episode, spec),
                    truncated=episode.truncated,
                    truth=episode.truth,
                )
            )
    return LatentStore(folder)


def _ends(config: EncodeConfig, episode: Episode, spec: Mapping[str, Any]) -> NDArray[np.bool_]:
    """(T,) the steps with which a dream is to end."""
    ends = episode.terminated.copy()
    if config.points:
        ends |= episode.reward != 0
    if config.lives:
        assert episode.truth is not None
        lives = episode.truth[:, spec["truth"].index(config.lives)]
        if np.isnan(lives).all():
            raise UserError(
                f"encode.lives = '{config.lives}': an episode of the policy '{episode.policy}' does not know it;"
                " accepted: episodes that were recorded with env.truth, or encode.lives=''"
            )
        ends |= np.diff(lives) < 0
    return ends


def encode_observations(
    vision: Vision, obs: NDArray, batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(mu, logvar), both (N, Z), of observations (N, …), ``batch_size`` at a time."""
    encoded = [_encoded(vision, obs[i : i + batch_size]) for i in range(0, len(obs), batch_size)]
    mu, logvar = (np.concatenate(parts) for parts in zip(*encoded, strict=True))
    return mu, logvar


def _encoded(vision: Vision, obs: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(mu, logvar) of one batch, whose last observation is repeated up to a multiple of ``_ROWS``."""
    missing = -len(obs) % _ROWS
    filled = np.concatenate([obs, np.repeat(obs[-1:], missing, axis=0)]) if missing else obs
    mu, logvar = vision.encode(filled)
    return mu[: len(obs)], logvar[: len(obs)]
