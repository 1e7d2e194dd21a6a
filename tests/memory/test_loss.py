"""Tests of the losses: minima, masks, and independence of members."""

import math
from dataclasses import replace

import pytest
import torch

from tests.memory.worlds import SMALL
from worldmodels.memory.loss import mean_losses, step_counts, step_losses, total_loss
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNOutput
from worldmodels.memory.outcome import Outcome
from worldmodels.memory.stats import WorldStats
from worldmodels.memory.windows import LatentBatch

E, B, L = 2, 3, 5
STATS = WorldStats(2, delta=1.0, scale=torch.tensor([0.5, 1.0]), binary=torch.tensor([False, True]), reward_mean=1.0)
MODEL = MDNRNN(replace(SMALL, ensemble_size=E, num_mixtures=1), 2, 1, STATS)
with torch.no_grad():  # a 1 has probability 4 / 5
    _head = dict(MODEL.binary_head.named_parameters())
    _head["layers.2.weight"].zero_()
    _head["layers.2.bias"].fill_(math.log(4))


def batch() -> LatentBatch:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(E, B, L, 2, generator=rng)
    terminated, mask = torch.zeros(E, B, L, dtype=torch.bool), torch.ones(E, B, L, dtype=torch.bool)
    terminated[0, 0, 2] = True
    mask[0, 0, 3:] = False
    return LatentBatch(
        z=z,
        z_seen=z,
        z_next=torch.stack((z[..., 0] + 1, torch.ones(E, B, L)), -1),
        action=torch.zeros(E, B, L, 1),
        reward=torch.where(terminated, -100.0, 3.0),
        terminated=terminated,
        mask=mask,
        fresh=torch.ones(E, B, dtype=torch.bool),
    )


def output(data: LatentBatch) -> MDNRNNOutput:
    made = MODEL.unroll(data.z, data.action, MODEL.initial_state(B))
    shape = (E, B, L, 2, 1)
    return made._replace(
        logpi=torch.zeros(shape),
        mean=torch.full(shape, 2.0),
        logstd=torch.full(shape, math.log(2)),
    )


def outcome(reward: float = 0.0, terminal_reward: float = 0.0, terminated_logit: float = 0.0) -> Outcome:
    return Outcome(*(torch.full((E, B, L), value) for value in (reward, terminal_reward, terminated_logit)))


def test_likelihood_of_a_change_and_of_a_coin():
    data = batch()
    losses = step_losses(MODEL, output(data), outcome(), data)
    # a change of 1 is 2 units, equal to the mean: density 1 / (2 sqrt(2π))
    wanted = {"nll": math.log(2) + 0.5 * math.log(2 * math.pi), "binary": -math.log(0.8)}
    for name, value in wanted.items():
        torch.testing.assert_close(losses[name][data.mask], torch.full_like(losses[name][data.mask], value))


def test_a_world_without_binary_dimensions_has_no_loss_for_them():
    model = MDNRNN(replace(SMALL, ensemble_size=E, num_mixtures=1), 2, 1, WorldStats(2))
    data = batch()
    made = model.unroll(data.z, data.action, model.initial_state(B))
    assert "binary" not in step_losses(model, made, outcome(), data)


def test_each_reward_head_learns_from_its_own_steps():
    data = batch()
    losses = step_losses(MODEL, output(data), outcome(reward=2.0, terminal_reward=-99.0), data)
    assert losses["reward"].eq(0).all()  # 3 is 2 above the mean; the terminating step's -100 does not count here
    assert losses["terminal_reward"][0, 0, 2].item() == 1
    assert losses["terminal_reward"].sum().item() == 1


def test_termination_is_plain_cross_entropy_so_its_minimum_is_the_true_rate():
    data = batch()
    logit = torch.zeros((), requires_grad=True)
    rate = (data.terminated & data.mask).sum() / data.mask.sum()
    for value, sign in ((rate * 0.9, -1), (rate, 0), (rate * 1.1, 1)):
        shown = outcome()._replace(terminated_logit=(logit + torch.logit(value)).expand(E, B, L))
        (gradient,) = torch.autograd.grad(step_losses(MODEL, output(data), shown, data)["terminated"].sum(), logit)
        assert gradient.sign().item() == sign or abs(gradient.item()) < 1e-5 * (sign == 0)


def test_what_is_masked_changes_nothing():
    data, shown = batch(), output(batch())
    other = data._replace(
        z_next=torch.where(data.mask[..., None], data.z_next, 1e6),
        reward=torch.where(data.mask, data.reward, 1e6),
        terminated=data.terminated | ~data.mask,
    )
    one, two = (mean_losses(step_losses(MODEL, shown, outcome(), d), step_counts(d)) for d in (data, other))
    torch.testing.assert_close(one, two)


def test_means_are_over_the_steps_concerned():
    data = batch()
    losses = step_losses(MODEL, output(data), outcome(terminal_reward=-98.0), data)
    means = mean_losses(losses, step_counts(data))
    assert means["reward"].tolist() == [4, 4]
    assert means["terminal_reward"].tolist() == [4, 0]  # member 1 has no terminations: no loss, no NaN
    assert all(loss.isfinite().all() for loss in means.values())


def test_weights_are_obeyed():
    names = ("nll", "reward", "terminal_reward", "terminated", "binary")
    losses = {name: torch.tensor(float(n)) for n, name in enumerate(names, start=1)}
    config = replace(SMALL, reward_weight=10.0, event_weight=100.0)
    assert total_loss(config, losses).item() == pytest.approx(951)
    assert total_loss(config, {name: losses[name] for name in names[:4]}).item() == pytest.approx(451)
