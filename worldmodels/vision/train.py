"""Training the VAE: resumable to the same bytes, stopped by the first number that is not finite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import upload
from worldmodels.common.params import UserError
from worldmodels.common.progress import progress
from worldmodels.common.seeding import torch_init, torch_rng
from worldmodels.vision.base import Vision, frames_to_float
from worldmodels.vision.files import save_vision
from worldmodels.vision.loss import vae_loss
from worldmodels.vision.vae import VAE, VAEConfig

Log = Callable[[int, Mapping[str, float]], None]
Metrics = dict[str, float]

BEST, LAST = "best.pt", "last.pt"


class TrainingError(UserError):
    """Training cannot begin or go on."""


class FrameSource(Protocol):
    """Where frames come from. The same arguments must always give the same batches.

    Attributes:
        batches_per_epoch: training batches of one epoch.
        mean_frame: (64, 64, 3), the mean of the training frames, in 0 to 255.
    """

    @property
    def batches_per_epoch(self) -> int: ...

    @property
    def mean_frame(self) -> NDArray: ...

    def train_batches(self, epoch: int, start: int) -> Iterator[NDArray | Tensor]:
        """The epoch's batches from number ``start`` on, each (B, 64, 64, 3) uint8, in an order of the epoch's own."""
        ...

    def validation_batches(self) -> Iterator[NDArray]:
        """All validation frames, (B, 64, 64, 3) uint8 a batch, always in the same order."""
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
    folder: Path,
) -> VAE:
    """Train V and save ``best.pt`` (lowest validation loss at the end of an epoch) and ``last.pt`` into ``folder``.

    A call that was killed goes on from ``scratch`` when it is made again, logs again what it had logged, and ends
    with the same bytes. The caller clears ``scratch`` once the result is safe.

    Args:
        seed, stream: name the random stream of this training.
        previous: V to start from instead of new weights; of the same ``z_dim`` and ``width``.
        log: called with the number of updates made and the metrics ``train/…`` and ``validation/…`` of
            ``vae_loss``: squared pixel error per frame and nats per frame.

    Returns:
        The best V, in evaluation mode, on ``device``.

    Raises:
        TrainingError: no frames to train or to validate on, or a loss or gradient that is not finite.
    """
    training = _Training(source, config, (seed, *stream), previous, scratch, log, device)
    with _deterministic(device):
        training.run()
    save_vision(folder / LAST, training.vae)
    training.vae.load_state_dict(training.best["state"])
    save_vision(folder / BEST, training.vae)
    return training.vae.eval()


class _Training:
    """The state of a training run: all of it is in ``snapshot``, and the rest follows from the arguments."""

    def __init__(
        self,
        source: FrameSource,
        config: VAEConfig,
        stream: tuple[Any, ...],
        previous: Vision | None,
        scratch: Scratch,
        log: Log,
        device: torch.device,
    ) -> None:
        if not source.batches_per_epoch:
            raise TrainingError("vae: there are no frames to train on; collect more episodes")
        self.source, self.config, self.scratch, self.log, self.device = source, config, scratch, log, device
        self.stream = stream
        with torch_init(*stream, "vae-weights"):
            self.vae = VAE(config)
        if previous is not None:
            self.vae.load_state_dict(previous.state_dict())
        self.vae.to(device)
        self.optimizer = torch.optim.Adam(self.vae.parameters(), lr=config.learning_rate, fused=True)
        self.mean_frame = frames_to_float(torch.as_tensor(source.mean_frame, device=device)[None])  # (1, 3, 64, 64)
        self.update = 0
        self.sums: dict[str, Tensor] = {}
        self.history: list[tuple[int, Metrics]] = []
        self.best: dict[str, Any] = {}
        self._resume()

    def run(self) -> None:
        per_epoch = self.source.batches_per_epoch
        total = self.config.epochs * per_epoch
        with progress(total=total, initial=self.update, desc="vae", unit="update") as bar:
            while self.update < total:
                epoch, start = divmod(self.update, per_epoch)
                batches = self.source.train_batches(epoch, start)
                for frames, _ in zip(batches, range(start, per_epoch), strict=True):
                    self._train_on(frames)
                    bar.update()
                    if self.update % self.config.checkpoint_every == 0 and self.update % per_epoch:
                        self._checkpoint()
                self._end_epoch(epoch)

    def _train_on(self, frames: NDArray | Tensor) -> None:
        self.vae.train()
        loss, metrics = self._loss(frames, "train", self.update)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        limit = self.config.grad_clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.vae.parameters(), limit)
        if not torch.isfinite(loss + norm):
            raise self._not_finite(f"loss {loss.item():g}, gradient norm {norm.item():g} at", self.update + 1)
        self.optimizer.step()
        self.update += 1
        self.sums = {name: self.sums.get(name, 0) + value for name, value in metrics.items()}
        if self.update % self.config.log_every == 0:
            self._emit("train", {name: total.item() / self.config.log_every for name, total in self.sums.items()})
            self.sums = {}

    def _loss(self, frames: NDArray | Tensor, purpose: str, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        # the noise of a batch has a stream of its own, so that a resumed run needs no generator's state
        rng = torch_rng(*self.stream, f"vae-{purpose}-noise", number)
        noise = upload(torch.randn(len(frames), self.config.z_dim, generator=rng), self.device)
        pixels = frames_to_float(upload(torch.as_tensor(frames), self.device))
        reconstruction, mu, logvar = self.vae(pixels, noise)
        return vae_loss(self.config, pixels, reconstruction, mu, logvar, self.mean_frame)

    @torch.no_grad()
    def _validate(self) -> Metrics:
        self.vae.eval()
        sums, count = {}, 0
        for number, frames in enumerate(self.source.validation_batches()):
            _, metrics = self._loss(frames, "validation", number)
            sums = {name: sums.get(name, 0) + len(frames) * value for name, value in metrics.items()}
            count += len(frames)
        if not count:
            raise TrainingError("vae.validation_fraction leaves no episode to validate on; raise it or collect more")
        metrics = {name: total.item() / count for name, total in sums.items()}
        if not isfinite(metrics["loss"]):
            raise self._not_finite(f"validation loss {metrics['loss']:g} after", self.update)
        return metrics

    def _not_finite(self, what: str, update: int) -> TrainingError:
        return TrainingError(
            f"vae: {what} update {update}; lower vae.learning_rate or set vae.grad_clip"
            f" (the last good checkpoint is in {self.scratch.folder})"
        )

    def _end_epoch(self, epoch: int) -> None:
        metrics = self._validate()
        if not self.best or metrics["loss"] < self.best["loss"]:
            state = {name: value.detach().cpu().clone() for name, value in self.vae.state_dict().items()}
            self.best = {"loss": metrics["loss"], "epoch": epoch, "state": state}
        self._emit("validation", metrics)
        self._checkpoint()

    def _emit(self, prefix: str, metrics: Metrics) -> None:
        named = {f"{prefix}/{name}": value for name, value in metrics.items()}
        self.history.append((self.update, named))
        self.log(self.update, named)

    def _checkpoint(self) -> None:
        self.scratch.save(
            {
                "update": self.update,
                "model": self.vae.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "sums": self.sums,
                "history": self.history,
                "best": self.best,
            }
        )

    def _resume(self) -> None:
        state = self.scratch.load()
        if state is None:
            return
        self.vae.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.update, self.history, self.best = state["update"], state["history"], state["best"]
        self.sums = {name: total.to(self.device) for name, total in state["sums"].items()}
        for update, metrics in self.history:
            self.log(update, metrics)


def _deterministic(device: torch.device) -> AbstractContextManager:
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
