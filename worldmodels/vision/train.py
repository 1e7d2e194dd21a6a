"""Training of the VAE."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import upload
from worldmodels.common.seeding import torch_init, torch_rng
from worldmodels.common.shards import shard_sizes
from worldmodels.training import Log, Metrics, Schedule, TrainingError, fit
from worldmodels.vision.base import Vision, frames_to_float
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.loss import pixel_weights, vae_loss
from worldmodels.vision.vae import VAE


class FrameSource(Protocol):
    """Source of frames. The same arguments must always give the same batches.

    Attributes:
        batches_per_epoch: training batches of one epoch.
        mean_frame: (64, 64, 3), the mean of the training frames, in 0 to 255.
    """

    @property
    def batches_per_epoch(self) -> int: ...

    @property
    def mean_frame(self) -> NDArray: ...

    def mean_distance(self, mean_frame: NDArray) -> NDArray:
        """Mean ``loss.distance`` of the training frames from mean_frame (64, 64, 3), both in 0 to 255: (64, 64)."""
        ...

    def train_batches(self, epoch: int, start: int) -> Iterator[NDArray | Tensor]:
        """The epoch's batches from number ``start`` on, each (B, 64, 64, 3) uint8, in an order of this epoch."""
        ...

    def validation_batches(self) -> Iterator[NDArray]:
        """All validation frames, batches of (B, 64, 64, 3) uint8, always in the same order."""
        ...


def train_vision(
    source: FrameSource,
    config: VAEConfig,
    *,
    seed: int,
    stream: Sequence[str | int] = (),
    previous: Vision | None = None,
    scratch: Scratch,
    log: Log,
    device: torch.device,
) -> VAE:
    """Train V (``training.fit``).

    Args:
        seed, stream: name the random stream of this training.
        previous: V with the initial weights, instead of random ones, and with the mean frame, which is kept: a moving
            one would move z under M. Of the same ``z_dim``, ``width`` and ``padding``.
        log: takes the metrics of ``vae_loss``: squared pixel error per frame and nats per frame.

    Returns:
        The V of lowest validation loss after an epoch or the last update, in evaluation mode, on ``device``.

    Raises:
        TrainingError: ``previous`` does not fit, there are no frames to train or to validate on, or a loss or gradient
            is not finite.
    """
    if not source.batches_per_epoch:
        raise TrainingError("vae: there are no frames to train on; collect more episodes")
    learner = _Learner(source, config, (seed, *stream), previous, device)
    updates = config.epochs * source.batches_per_epoch
    schedule = Schedule(
        updates=min(updates, config.max_updates or updates),
        updates_per_validation=source.batches_per_epoch,
        learning_rate=config.learning_rate,
        grad_clip=config.grad_clip,
    )
    fit(learner, schedule, scratch=scratch, log=log, device=device)
    return learner.model


def _take_over(vae: VAE, previous: Vision) -> None:
    try:
        vae.load_weights(previous.weights())
    except RuntimeError:
        raise TrainingError(
            "vae: the previous round's V has other shapes; give z_dim, width and padding the same values in every round"
        ) from None


class _Learner:
    """``training.Learner`` of V."""

    name = "vae"

    def __init__(
        self,
        source: FrameSource,
        config: VAEConfig,
        stream: tuple[Any, ...],
        previous: Vision | None,
        device: torch.device,
    ) -> None:
        self.source, self.config, self.stream, self.device = source, config, stream, device
        with torch_init(*stream, "vae-weights"):
            self.model = VAE(config, source.mean_frame if previous is None else None)
        if previous is not None:
            _take_over(self.model, previous)
        self.model.to(device)
        if config.foreground_weight:
            ground = np.asarray(self.model.mean_frame[0].permute(1, 2, 0).cpu()) * 255
            self.usual = torch.as_tensor(source.mean_distance(ground) / 255, dtype=torch.float32, device=device)

    def batches(self, update: int) -> Iterator[tuple[int, NDArray | Tensor]]:
        """(index of the update, frames)."""
        while True:
            for frames in self.source.train_batches(*divmod(update, self.source.batches_per_epoch)):
                yield update, frames
                update += 1

    def shards(self, batch: tuple[int, NDArray | Tensor]) -> list[tuple[float, Tensor, Tensor]]:
        """Each shard's share of the batch, its frames and its noise."""
        frames, noise = self._frames_and_noise("train", *batch)
        sizes = shard_sizes(len(frames), self.device)
        parts = zip(frames.split(sizes), noise.split(sizes), strict=True)
        return [(len(part) / len(frames), part, part_noise) for part, part_noise in parts]

    def loss(self, shard: tuple[float, Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        share, frames, noise = shard
        loss, metrics = self._mean_loss(frames, noise)
        return share * loss, {name: share * value for name, value in metrics.items()}

    def clip_gradients(self, limit: float) -> Tensor:
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)

    @torch.no_grad()
    def validate(self) -> Metrics:
        sums, count = {}, 0
        for number, frames in enumerate(self.source.validation_batches()):
            _, metrics = self._mean_loss(*self._frames_and_noise("validation", number, frames))
            sums = {name: sums.get(name, 0) + len(frames) * value for name, value in metrics.items()}
            count += len(frames)
        if not count:
            raise TrainingError("vae: there are no frames to validate on; collect more episodes")
        return {name: total.item() / count for name, total in sums.items()}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass

    def _frames_and_noise(self, purpose: str, number: int, frames: NDArray | Tensor) -> tuple[Tensor, Tensor]:
        # Each batch's noise has its own stream, so that a resumed run needs no generator state.
        rng = torch_rng(*self.stream, f"vae-{purpose}-noise", number)
        noise = torch.randn(len(frames), self.config.z_dim, generator=rng)
        return upload(torch.as_tensor(frames), self.device), upload(noise, self.device)

    def _mean_loss(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = frames_to_float(frames)
        reconstruction, mu, logvar = self.model(pixels, noise)
        return vae_loss(self.config, pixels, reconstruction, mu, logvar, self._weights(pixels))

    def _weights(self, pixels: Tensor) -> Tensor | float:
        weight = self.config.foreground_weight
        return pixel_weights(pixels, self.model.mean_frame, self.usual, weight) if weight else 1.0
