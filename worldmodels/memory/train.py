"""Training M: resumable to the same bytes, stopped by the first number that is not finite."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import autocast, has_room
from worldmodels.common.params import UserError
from worldmodels.common.progress import progress
from worldmodels.common.seeding import torch_init
from worldmodels.memory.files import save_memory
from worldmodels.memory.loss import mean_losses, step_losses, total_loss
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig, RNNState
from worldmodels.memory.stats import world_stats
from worldmodels.memory.validate import validate
from worldmodels.memory.windows import Lanes, LatentBatch, split_episodes
from worldmodels.vision.latents import LatentStore

Log = Callable[[int, Mapping[str, float]], None]

BEST, LAST = "best.pt", "last.pt"
LOG_EVERY = 20  # updates


class TrainingError(UserError):
    """Training cannot begin or go on."""


def train_memory(
    store: LatentStore,
    config: MDNRNNConfig,
    *,
    seed: int,
    stream: Sequence[str | int] = (),
    previous: MDNRNN | None = None,
    scratch: Scratch,
    log: Log,
    device: torch.device,
    folder: Path,
) -> MDNRNN:
    """Train M and save ``best.pt`` (lowest validation loss at the end of an epoch) and ``last.pt`` into ``folder``.

    A call that was killed goes on from ``scratch`` when it is made again, logs again what it had logged, and ends
    with the same bytes. The caller clears ``scratch`` once the result is safe.

    Args:
        seed, stream: name the random stream of this training.
        previous: M whose weights to start from; of the same shapes. Units and ranges are the new data's.
        log: called with the number of updates made and the metrics ``train/…`` (``loss.mean_losses`` and their
            weighted sum ``loss``) and ``validation/…`` (``validate``).

    Returns:
        The best M, in evaluation mode, on ``device``.

    Raises:
        TrainingError: ``previous`` does not fit, or a loss or gradient is not finite.
    """
    training = _Training(store, config, (seed, *stream), previous, scratch, log, device)
    training.run()
    save_memory(folder / LAST, training.model)
    training.model.load_state_dict(training.best["state"])
    save_memory(folder / BEST, training.model)
    return training.model.eval()


class _Training:
    """The state of a training run: all of it is in ``_checkpoint``, and the rest follows from the arguments."""

    def __init__(
        self,
        store: LatentStore,
        config: MDNRNNConfig,
        stream: tuple[Any, ...],
        previous: MDNRNN | None,
        scratch: Scratch,
        log: Log,
        device: torch.device,
    ) -> None:
        self.store, self.config, self.stream = store, config, stream
        self.scratch, self.log, self.device = scratch, log, device
        episodes, self.held_out = split_episodes(store, config.validation_fraction, stream)
        windows = store.on(device) if has_room(store.nbytes, device) else store
        self.lanes = Lanes(windows, episodes, config.members, config.batch_size, config.window, stream)
        self.model = _make_model(store, config, previous, stream).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, fused=True)
        self.state = self.model.initial_state(config.batch_size)
        self.update = 0
        self.sums: dict[str, Tensor] = {}
        self.history: list[tuple[int, dict[str, float]]] = []
        self.best: dict[str, Any] = {}
        self._resume()

    def run(self) -> None:
        per_epoch = self.lanes.batches_per_epoch
        total = self.config.epochs * per_epoch
        total = min(total, self.config.max_updates or total)
        with progress(total=total, initial=self.update, desc="mdnrnn", unit="update") as bar:
            while self.update < total:
                self._train_on(self.lanes.next().to(self.device), self.update / total)
                bar.update()
                if self.update % per_epoch == 0 or self.update == total:
                    self._end_epoch()
                elif self.update % self.config.checkpoint_every == 0:
                    self._checkpoint()

    def _train_on(self, batch: LatentBatch, progress: float) -> None:
        going_on = ~batch.fresh[..., None]  # (E, B, 1)
        state = RNNState(*(x * going_on for x in self.state))
        with autocast(self.config.precision, self.device):
            output = self.model.unroll(batch.z, batch.action, state)
        losses = mean_losses(step_losses(self.model, output, batch), batch)  # (E,) each
        loss = total_loss(self.config, losses)
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        norm = _clip(self.model, self.config.grad_clip)
        if not torch.isfinite(loss + norm).all():
            raise self._not_finite(f"loss {loss.mean().item():g}, gradient norm {norm.max().item():g}")
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        self.optimizer.step()
        self.state = RNNState(*(x.detach() for x in output.state))
        self.update += 1
        self._count({"loss": loss, **losses})

    def _count(self, losses: dict[str, Tensor]) -> None:
        self.sums = {name: self.sums.get(name, 0) + value.detach().mean() for name, value in losses.items()}
        if self.update % LOG_EVERY == 0:
            self._emit("train", {name: total.item() / LOG_EVERY for name, total in self.sums.items()})
            self.sums = {}

    def _end_epoch(self) -> None:
        metrics = validate(self.model, self.store, self.held_out, self.stream)
        if not math.isfinite(metrics["loss"]):
            raise self._not_finite(f"validation loss {metrics['loss']:g}")
        if not self.best or metrics["loss"] < self.best["loss"]:
            state = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            self.best = {"loss": metrics["loss"], "state": state}
        self._emit("validation", metrics)
        self._checkpoint()

    def _not_finite(self, what: str) -> TrainingError:
        return TrainingError(
            f"mdnrnn: {what} at update {self.update + 1}; lower mdnrnn.learning_rate or mdnrnn.grad_clip"
            f" (the last good checkpoint is in {self.scratch.folder})"
        )

    def _emit(self, prefix: str, metrics: dict[str, float]) -> None:
        named = {f"{prefix}/{name}": value for name, value in metrics.items()}
        self.history.append((self.update, named))
        self.log(self.update, named)

    def _checkpoint(self) -> None:
        self.scratch.save(
            {
                "update": self.update,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "lanes": self.lanes.state(),
                "state": tuple(self.state),
                "sums": self.sums,
                "history": self.history,
                "best": self.best,
            }
        )

    def _resume(self) -> None:
        saved = self.scratch.load()
        if saved is None:
            return
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.lanes.resume(saved["lanes"])
        self.state = RNNState(*(x.to(self.device) for x in saved["state"]))
        self.update, self.history, self.best = saved["update"], saved["history"], saved["best"]
        self.sums = {name: total.to(self.device) for name, total in saved["sums"].items()}
        for update, metrics in self.history:
            self.log(update, metrics)


def _make_model(store: LatentStore, config: MDNRNNConfig, previous: MDNRNN | None, stream: tuple[Any, ...]) -> MDNRNN:
    with torch_init(*stream, "memory-weights"):
        model = MDNRNN(config, store.z_dim, store.action_dim, world_stats(store))
    if previous is not None:
        try:
            model.load_state_dict(dict(previous.named_parameters()), strict=False)
        except RuntimeError:
            raise TrainingError(
                "mdnrnn: the previous round's M has other shapes; give hidden_dim, num_mixtures, members and head_dim"
                " the same values in every round"
            ) from None
    return model


def _clip(model: MDNRNN, limit: float) -> Tensor:
    """Scale every member's gradient to a norm of at most ``limit``; the norms before, (E,)."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)  # (E,)
    factor = (limit / norm.clamp(min=limit)).reshape(-1, 1, 1)
    for gradient in gradients:
        gradient.mul_(factor)
    return norm
