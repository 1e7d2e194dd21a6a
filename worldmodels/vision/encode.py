"""From episodes to latents, with memory bounded by one episode, and from frames to what V makes of them."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.common.device import upload
from worldmodels.common.params import Count, settings
from worldmodels.common.progress import progress_bar
from worldmodels.records import Episode, LatentEpisode
from worldmodels.vision.base import Vision, float_to_frames
from worldmodels.vision.latents import LatentStore, LatentWriter


@settings
class EncodeConfig:
    """Encoding.

    Attributes:
        batch_size: observations encoded at once.
    """

    batch_size: Count = 256


def encode_episodes(
    vision: Vision,
    episodes: Iterable[Episode],
    config: EncodeConfig,
    *,
    encode_action: Callable[[NDArray], NDArray],
    spec: Mapping[str, Any],
    source: str,
    device: torch.device,
    folder: Path,
    total: int | None = None,
) -> LatentStore:
    """Encode episodes, in their order, into a ``LatentStore`` in ``folder``, whole or not at all.

    Args:
        encode_action: the environment's actions (T, …) to (T, A) float32 (``EnvSpec.encode_action``).
        spec: the environment's description (``EnvSpec.to_dict``).
        source: digest of the episodes and of V.
        total: number of episodes, for the progress bar.

    Raises:
        LatentError: there was no episode.
    """
    vision = vision.to(device).eval()
    bar = progress_bar(episodes, total=total, desc="encode", unit="episode")
    with LatentWriter(folder, spec=spec, source=source) as writer:
        for episode in bar:
            mu, logvar = encode_observations(vision, episode.obs, config.batch_size, device)
            writer.add(
                LatentEpisode(
                    mu=mu,
                    logvar=logvar,
                    action=np.asarray(encode_action(episode.action), dtype=np.float32),
                    reward=episode.reward,
                    terminated=episode.terminated,
                    truncated=episode.truncated,
                )
            )
    return LatentStore(folder)


@torch.inference_mode()
def encode_observations(
    vision: Vision, obs: NDArray, batch_size: int, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(mu, logvar), both (N, Z), of raw observations (N, …), ``batch_size`` at a time."""
    batches = torch.as_tensor(obs).split(batch_size)
    encoded = [vision.encode(upload(batch, device)) for batch in batches]
    mu, logvar = (torch.cat(parts).cpu().numpy() for parts in zip(*encoded, strict=True))
    return mu, logvar


@torch.inference_mode()
def reconstruct(vision: Vision, frames: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """What V makes of frames: (N, 64, 64, 3) uint8 to the same, each decoded from its posterior's mean."""
    mu, _ = vision.to(device).eval().encode(torch.as_tensor(frames).to(device))
    return float_to_frames(vision.decode(mu))
