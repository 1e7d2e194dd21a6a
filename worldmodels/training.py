"""The training loop of V and M (``fit``), and the ``Checkpointer`` that makes it and C's search resumable.

A killed run resumes from its scratch, repeats its log so far, and ends with the same bytes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.params import UserError
from worldmodels.common.progress import progress_bar
from worldmodels.common.shards import Map, shard_map

Metrics = dict[str, float]
Log = Callable[[int, Mapping[str, float]], None]
"""Takes the number of steps made (updates, or generations) and the metrics of that moment."""

LOG_EVERY = 20  # updates averaged in one point of a training curve
CHECKPOINT_EVERY = 500  # updates between two checkpoints; there is also one after every validation


class TrainingError(UserError):
    """Training cannot begin or continue."""


class Checkpointer:
    """The log of a run so far, and the last state from which it can be resumed.

    Args:
        scratch: storage of the state. The caller clears it once the run's result is saved.
        log: is called with every point, and after a restart first with all earlier points.
    """

    def __init__(self, scratch: Scratch, log: Log) -> None:
        self.folder = scratch.folder
        self._scratch, self._log = scratch, log
        self._history: list[tuple[int, Metrics]] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record one point."""
        self._history.append((step, dict(metrics)))
        self._log(step, metrics)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the saved state, atomically."""
        self._scratch.save({"history": self._history, "state": dict(state)})

    def restore(self) -> dict[str, Any] | None:
        """The last saved state, tensors on the CPU; None if there is none."""
        saved = self._scratch.load()
        if saved is None:
            return None
        self._history = saved["history"]
        for step, metrics in self._history:
            self._log(step, metrics)
        return saved["state"]


class Learner(Protocol):
    """A model and its model-specific parts of training: data, loss, validation.

    Attributes:
        name: its section of params.yaml, for errors and the progress bar.
        model: the module that is trained.
    """

    name: str

    @property
    def model(self) -> nn.Module: ...

    def batches(self, update: int) -> Iterator[Any]:
        """Endless batches, starting with that of number ``update``. The learner defines what a batch contains."""
        ...

    def shards(self, batch: Any) -> Sequence[Any]:
        """The parts of a batch whose losses are computed concurrently; their number is given by ``shard_sizes``."""
        ...

    def loss(self, shard: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """A shard's share of the batch's loss, and its detached share of the metrics, including ``loss``.

        Shares add up to the batch's mean; they are scalars, or have one entry per independent model (E,). Other shards
        are computed at the same time.
        """
        ...

    def clip_gradients(self, limit: float) -> Tensor:
        """Scale gradients to a norm of at most ``limit``; returns the norms before, one per independent model."""
        ...

    def validate(self) -> Metrics:
        """Metrics on held-out data, including ``loss``; always on the same data with the same noise."""
        ...

    def state(self) -> dict[str, Any]:
        """State that is carried from one batch to the next, besides the weights."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Duration and learning rate of training.

    Attributes:
        updates: total number.
        updates_per_validation: updates between two validations; the last update is also followed by one.
        learning_rate: peak rate of Adam; it decays to zero along a cosine.
        grad_clip: maximum gradient norm of an independent model; 0 does not clip.
    """

    updates: int
    updates_per_validation: int
    learning_rate: float
    grad_clip: float = 0.0

    def rate(self, update: int) -> float:
        """The learning rate of update number ``update``, counted from 0."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (update / self.updates)))


def fit(learner: Learner, schedule: Schedule, *, scratch: Scratch, log: Log, device: torch.device) -> None:
    """Train ``learner.model``; it ends with the weights of the lowest validation loss, in evaluation mode.

    Args:
        scratch: resumable state; the caller clears it once the result is safe.
        log: takes ``train/…``, means over ``LOG_EVERY`` updates, and ``validation/…``.

    Raises:
        TrainingError: a loss or gradient is not finite; the last good checkpoint is kept.
    """
    with _deterministic(device), shard_map(device) as map_shards:
        _Fit(learner, schedule, Checkpointer(scratch, log), device, map_shards).run()


class _Fit:
    """A run of ``fit``: its state is saved by ``_checkpoint``; everything else follows from the arguments."""

    def __init__(
        self,
        learner: Learner,
        schedule: Schedule,
        checkpointer: Checkpointer,
        device: torch.device,
        map_shards: Map,
    ) -> None:
        self.learner, self.schedule, self.checkpointer, self.device = learner, schedule, checkpointer, device
        self.map_shards = map_shards
        self.parameters = [p for p in learner.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=schedule.learning_rate, fused=True)
        self.update = 0
        self.sums: dict[str, Tensor] = {}  # sums of the training metrics since the last point of the curve
        self.best: dict[str, Any] = {}
        self._restore()

    def run(self) -> None:
        total, every = self.schedule.updates, self.schedule.updates_per_validation
        batches = islice(self.learner.batches(self.update), total - self.update)
        with progress_bar(total=total, initial=self.update, desc=self.learner.name, unit="update") as bar:
            for batch in batches:
                self._train_on(batch)
                bar.update()
                if self.update % every == 0 or self.update == total:
                    bar.set_postfix(held_out_loss=self._validate())
                elif self.update % CHECKPOINT_EVERY == 0:
                    self._checkpoint()
        self.learner.model.load_state_dict(self.best["weights"])
        self.learner.model.eval()

    def _train_on(self, batch: Any) -> None:
        self.learner.model.train()
        metrics = self._compute_gradients(batch)
        norm = self.learner.clip_gradients(self.schedule.grad_clip or math.inf)
        if not torch.isfinite(metrics["loss"] + norm).all():
            loss = metrics["loss"].mean().item()
            raise self._not_finite(f"loss {loss:g}, gradient norm {norm.max().item():g} at update {self.update + 1}")
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.update)
        self.optimizer.step()
        self.update += 1
        self._average(metrics)

    def _compute_gradients(self, batch: Any) -> dict[str, Tensor]:
        """Set the parameters' gradients to the batch's, summed in the order of the shards; returns its metrics."""
        shards = iter(self.map_shards(self._gradients_of, self.learner.shards(batch)))
        gradients, metrics = next(shards)
        for more, part in shards:  # summed while later shards are computed
            gradients = [one + other for one, other in zip(gradients, more, strict=True)]
            metrics = {name: value + part[name] for name, value in metrics.items()}
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return metrics

    def _gradients_of(self, shard: Any) -> tuple[Sequence[Tensor], dict[str, Tensor]]:
        loss, metrics = self.learner.loss(shard)
        return torch.autograd.grad(loss.sum(), self.parameters), metrics

    def _average(self, metrics: dict[str, Tensor]) -> None:
        self.sums = {name: self.sums.get(name, 0) + value.mean() for name, value in metrics.items()}
        if self.update % LOG_EVERY == 0:
            self._log("train", {name: total.item() / LOG_EVERY for name, total in self.sums.items()})
            self.sums = {}

    def _validate(self) -> float:
        self.learner.model.eval()
        metrics = self.learner.validate()
        if not math.isfinite(metrics["loss"]):
            raise self._not_finite(f"validation loss {metrics['loss']:g} after update {self.update}")
        if not self.best or metrics["loss"] < self.best["loss"]:
            weights = {name: value.detach().cpu().clone() for name, value in self.learner.model.state_dict().items()}
            self.best = {"loss": metrics["loss"], "weights": weights}
        self._log("validation", metrics)
        self._checkpoint()
        return metrics["loss"]

    def _not_finite(self, what: str) -> TrainingError:
        name = self.learner.name
        return TrainingError(
            f"{name}: {what}; lower {name}.learning_rate, or set a lower {name}.grad_clip"
            f" (the last good checkpoint is in {self.checkpointer.folder})"
        )

    def _log(self, prefix: str, metrics: Metrics) -> None:
        self.checkpointer.log(self.update, {f"{prefix}/{name}": value for name, value in metrics.items()})

    def _checkpoint(self) -> None:
        self.checkpointer.save(
            {
                "update": self.update,
                "model": self.learner.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "learner": self.learner.state(),
                "sums": self.sums,
                "best": self.best,
            }
        )

    def _restore(self) -> None:
        saved = self.checkpointer.restore()
        if saved is None:
            return
        self.learner.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.learner.restore(saved["learner"])
        self.update, self.best = saved["update"], saved["best"]
        self.sums = {name: total.to(self.device) for name, total in saved["sums"].items()}


def _deterministic(device: torch.device) -> AbstractContextManager:
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
