"""Training of M."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import autocast, has_room
from worldmodels.common.seeding import numpy_rng, torch_init
from worldmodels.common.shards import shard_sizes
from worldmodels.holdout import split_episodes
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.loss import mean_losses, step_counts, step_losses, total_loss
from worldmodels.memory.mdnrnn import MDNRNN, RNNState
from worldmodels.memory.reward_form import choose_reward_form
from worldmodels.memory.stats import WorldStats, world_stats
from worldmodels.memory.validate import validate
from worldmodels.memory.windows import Lanes, LatentBatch, resident
from worldmodels.training import Log, Metrics, Schedule, TrainingError, fit
from worldmodels.vision.latents import LatentStore


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
) -> MDNRNN:
    """Train M (``training.fit``).

    Args:
        seed, stream: name the random stream of this training.
        previous: M with the initial weights; of the same shapes. Units and ranges are those of the new data.
        log: takes the metrics of ``loss.mean_losses`` and their weighted sum ``loss``, and those of ``validate``.

    Returns:
        The M of lowest validation loss, in evaluation mode, on ``device``.

    Raises:
        TrainingError: ``previous`` does not fit, or a loss or gradient is not finite.
    """
    named, stats = (seed, *stream), world_stats(store)
    if config.reward_form == "auto":
        form = choose_reward_form(store, stats, config, named) if previous is None else previous.config.reward_form
        config = replace(config, reward_form=form)
    learner = _Learner(store, stats, config, named, previous, device)
    per_epoch = learner.lanes.batches_per_epoch
    updates = config.epochs * per_epoch
    schedule = Schedule(
        updates=min(updates, config.max_updates or updates),
        updates_per_validation=per_epoch * -(-config.validation_every // per_epoch),
        learning_rate=config.learning_rate,
        grad_clip=config.grad_clip,
    )
    fit(learner, schedule, scratch=scratch, log=log, device=device)
    return learner.model


class _Shard(NamedTuple):
    """A part of a batch's lanes.

    Attributes:
        rnn: their recurrent state, a view of the learner's, updated in place.
        batch: their windows.
        counts: ``step_counts`` of the whole batch.
    """

    rnn: RNNState
    batch: LatentBatch
    counts: dict[str, Tensor]


class _Learner:
    """``training.Learner`` of M: its lanes, and the recurrent state carried from batch to batch."""

    name = "mdnrnn"

    def __init__(
        self,
        store: LatentStore,
        stats: WorldStats,
        config: MDNRNNConfig,
        stream: tuple[Any, ...],
        previous: MDNRNN | None,
        device: torch.device,
    ) -> None:
        self.store, self.config, self.stream, self.device = store, config, stream, device
        episodes, self.held_out = split_episodes(len(store), stream[0])
        columns = resident(store, device) if has_room(store.nbytes, device) else store
        sizes = config.ensemble_size, config.batch_size, config.sequence_length
        self.lanes = Lanes(columns, episodes, *sizes, stream)
        self.model = _make_model(store, stats, config, previous, stream).to(device)
        self.rnn = RNNState(*(x.clone() for x in self.model.initial_state(config.batch_size)))

    def batches(self, update: int) -> Iterator[LatentBatch]:
        stats = self.model.stats
        std = self.config.input_noise * stats.scale * ~stats.binary  # (Z,)
        while True:
            batch = self.lanes.next().to(self.device)
            if self.config.input_noise:
                batch = batch.with_noise(std, numpy_rng(*self.stream, "memory-noise", update))
            yield batch
            update += 1

    def shards(self, batch: LatentBatch) -> list[_Shard]:
        counts, sizes = step_counts(batch), shard_sizes(self.config.batch_size, self.device)
        columns = zip(*(column.split(sizes, 1) for column in (*self.rnn, *batch)), strict=True)
        return [_Shard(RNNState(*lanes[:2]), LatentBatch(*lanes[2:]), counts) for lanes in columns]

    def loss(self, shard: _Shard) -> tuple[Tensor, dict[str, Tensor]]:
        rnn, batch, counts = shard
        goes_on = ~batch.fresh[..., None]  # (E, B, 1)
        with autocast(self.config.precision, self.device):
            output = self.model.unroll(batch.z_seen, batch.action, RNNState(*(x * goes_on for x in rnn)))
            outcome = self.model.outcome(output, batch.z, batch.action, batch.z_next)
        losses = mean_losses(step_losses(self.model, output, outcome, batch), counts)  # (E,) each
        loss = total_loss(self.config, losses)
        for before, after in zip(rnn, output.state, strict=True):
            before.copy_(after.detach())
        return loss, {name: value.detach() for name, value in {"loss": loss, **losses}.items()}

    def clip_gradients(self, limit: float) -> Tensor:
        return clip_each_member(self.model, limit)

    def validate(self) -> Metrics:
        return validate(self.model, self.store, self.held_out, self.stream)

    def state(self) -> dict[str, Any]:
        return {"lanes": self.lanes.state(), "rnn": tuple(self.rnn)}

    def restore(self, state: dict[str, Any]) -> None:
        self.lanes.resume(state["lanes"])
        self.rnn = RNNState(*(x.to(self.device) for x in state["rnn"]))


def _make_model(
    store: LatentStore, stats: WorldStats, config: MDNRNNConfig, previous: MDNRNN | None, stream: tuple[Any, ...]
) -> MDNRNN:
    with torch_init(*stream, "memory-weights"):
        model = MDNRNN(config, store.z_dim, store.action_dim, stats)
    if previous is not None:
        try:
            model.load_state_dict(dict(previous.named_parameters()), strict=False)
        except RuntimeError:
            raise TrainingError(
                "mdnrnn: the previous round's M has other shapes; give hidden_dim, num_mixtures, ensemble_size,"
                " head_hidden_dim and outcome_hidden_dim the same values in every round"
            ) from None
    model.binary_head.requires_grad_(model.has_binary)  # without binary dimensions no loss reaches it
    return model


def clip_each_member(model: torch.nn.Module, limit: float) -> Tensor:
    """Scale every member's gradient to a norm of at most ``limit``; returns the norms before scaling, (E,)."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)  # (E,)
    factor = (limit / norm).clamp(max=1).reshape(-1, 1, 1)
    for gradient in gradients:
        gradient.mul_(factor)
    return norm
