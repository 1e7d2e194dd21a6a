"""Tests of the ensemble: recurrence, independence of members, and sampling."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.memory.worlds import SMALL
from worldmodels.common.checkpoint import CheckpointError, save
from worldmodels.common.params import ParamError, parse_section
from worldmodels.common.seeding import torch_init
from worldmodels.memory.files import load_memory, pack_memory, save_memory, unpack_memory
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNOutput, RNNState
from worldmodels.memory.outcome import Outcome
from worldmodels.memory.stats import WorldStats

E, B, L, Z, A = 3, 4, 6, 5, 2
CONFIG = replace(SMALL, ensemble_size=E)


def make(config=CONFIG, stats: WorldStats | None = None) -> MDNRNN:
    with torch_init(0, "test"):
        return MDNRNN(config, Z, A, stats)


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(E, B, L, Z, generator=rng), torch.randn(E, B, L, A, generator=rng)


def values(model: MDNRNN, output: MDNRNNOutput, z: Tensor, action: Tensor, z_next: Tensor) -> tuple[Tensor, ...]:
    """Everything that M says of steps, the state apart."""
    logit = model.binary_logit(output, z, action, z_next)
    return *output[:-1], logit, *model.outcome(output, z, action, z_next)


@pytest.mark.parametrize("head_hidden_dim", [0, 16])
def test_step_by_step_is_unroll(head_hidden_dim):
    model, (z, action) = make(replace(CONFIG, head_hidden_dim=head_hidden_dim)), data()
    whole = model.unroll(z, action, model.initial_state(B))
    everything = values(model, whole, z, action, z + 1)
    state = model.initial_state(B)
    for t in range(L):
        now = z[:, :, t], action[:, :, t]
        output = model.step(*now, state)
        state = output.state
        for one, all_ in zip(values(model, output, *now, z[:, :, t] + 1), everything, strict=True):
            torch.testing.assert_close(one, all_[:, :, t])
    torch.testing.assert_close(tuple(state), tuple(whole.state))


def test_two_windows_with_the_state_carried_are_one():
    model, (z, action) = make(), data()
    whole = model.unroll(z, action, model.initial_state(B))
    first = model.unroll(z[:, :, :2], action[:, :, :2], model.initial_state(B))
    second = model.unroll(z[:, :, 2:], action[:, :, 2:], first.state)
    torch.testing.assert_close(second.mean, whole.mean[:, :, 2:])
    torch.testing.assert_close(tuple(second.state), tuple(whole.state))


def test_the_cell_is_torchs_lstm():
    model, (z, action) = make(), data()
    lstm = torch.nn.LSTMCell(Z + A, CONFIG.hidden_dim)
    # torch's order of gates is i, f, candidate, o, and its candidate's weights are half of ours
    i, f, o, candidate = model.cell.weight[0].detach().chunk(4, -1)
    weight = torch.cat((i, f, candidate / 2, o), -1).T
    lstm.load_state_dict(
        {
            "weight_ih": weight[:, : Z + A],
            "weight_hh": weight[:, Z + A :],
            "bias_ih": torch.zeros(len(weight)),
            "bias_hh": torch.zeros(len(weight)),
        }
    )
    h = c = torch.zeros(B, CONFIG.hidden_dim)
    for t in range(L):
        h, c = lstm(torch.cat((z[0, :, t], action[0, :, t]), -1), (h, c))
    torch.testing.assert_close(model.unroll(z, action, model.initial_state(B)).state.h[0], h)


def test_an_action_changes_nothing_before_it():
    model, (z, action) = make(), data()
    changed = action.clone()
    changed[:, :, 3] += 1
    outputs = [model.unroll(z, a, model.initial_state(B)) for a in (action, changed)]
    before, after = (values(model, out, z, a, z) for out, a in zip(outputs, (action, changed), strict=True))
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one[:, :, :3], other[:, :, :3])
    assert not torch.equal(outputs[0].mean[:, :, 3], outputs[1].mean[:, :, 3])
    assert not torch.equal(before[-1][:, :, 5], after[-1][:, :, 5])  # the end depends on h


@pytest.mark.parametrize("form", ["free", "potential"])
def test_the_outcome_is_of_the_state_that_was_reached_and_the_reward_does_not_read_h(form):
    model, (z, action) = make(replace(CONFIG, reward_form=form)), data()
    output = model.unroll(z, action, model.initial_state(B))
    here, elsewhere = model.outcome(output, z, action, z), model.outcome(output, z, action, z + 1)
    for one, other in zip(here, elsewhere, strict=True):
        assert (one != other).all()
    other_h = model.outcome(output._replace(h=output.h + 1), z, action, z)
    assert torch.equal(other_h.reward, here.reward)
    assert (other_h.terminated_logit != here.terminated_logit).all()


def test_the_end_tells_rest_from_a_tremble():
    stats = WorldStats(Z, delta=1.0)
    model, (z, action) = make(stats=stats), data()
    output = model.unroll(z, action, model.initial_state(B))
    rest, tremble, leap, jump = (
        model.outcome(output, z, action, z + step).terminated_logit for step in (0.0, 0.1, 1.0, 1.1)
    )
    assert (tremble - rest).abs().mean() > 5 * (jump - leap).abs().mean()


def test_a_potentials_rewards_telescope():
    model, (z, action) = make(replace(CONFIG, reward_form="potential")), data()
    output = model.unroll(z, action, model.initial_state(B))
    action = torch.zeros_like(action)
    there, back = model.outcome(output, z, action, z + 1), model.outcome(output, z + 1, action, z)
    stay = model.outcome(output, z, action, z)
    torch.testing.assert_close(there.reward + back.reward, 2 * stay.reward)
    torch.testing.assert_close(stay.reward, stay.reward[:, :1, :1].expand_as(stay.reward))


def test_members_and_batch_rows_do_not_mix():
    model, (z, action) = make(), data()
    output = model.unroll(z, action, model.initial_state(B))
    output.mean[1, 2].sum().backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            assert not parameter.grad[[0, 2]].any()
    z[1, 0] += 1
    again = model.unroll(z, action, model.initial_state(B))
    torch.testing.assert_close(again.mean[:, 1:], output.mean[:, 1:])


def test_listening_is_member_0s_state():
    model, (z, action) = make(), data()
    state = model.unroll(z, action, model.initial_state(B)).state
    after = model.initial_state(B).member(0)
    for t in range(L):
        after = model.advance(z[0, :, t], action[0, :, t], after)
    torch.testing.assert_close(tuple(after), tuple(state.member(0)))


def with_coins(model: MDNRNN, logit: float) -> MDNRNN:
    """``model``, with the same log odds for all binary dimensions wherever the others go."""
    head = dict(model.binary_head.named_parameters())
    with torch.no_grad():
        head["layers.2.weight"].zero_()
        head["layers.2.bias"].fill_(logit)
    return model


def output_of(logit: float, mean: float, shape: tuple[int, ...]) -> MDNRNNOutput:
    components = torch.tensor([0.0, logit]).expand(*shape, 2)
    nothing = torch.zeros(*shape[:-1], CONFIG.hidden_dim)
    return MDNRNNOutput(
        logpi=components,
        mean=torch.tensor([0.0, mean]).expand(*shape, 2),
        logstd=torch.full((*shape, 2), -20.0),
        h=nothing,
        state=RNNState(nothing, nothing),
    )


def test_a_sample_is_a_change_in_its_unit_or_a_coin():
    stats = WorldStats(2, delta=1.0, scale=torch.tensor([0.5, 1.0]), binary=torch.tensor([False, True]))
    model = with_coins(MDNRNN(CONFIG, 2, A, stats), math.log(3))
    output = output_of(logit=50.0, mean=4.0, shape=(E, 1000, 2))
    z, action = torch.full((E, 1000, 2), 7.0), torch.zeros(E, 1000, A)
    uniform = torch.linspace(0.0005, 0.9995, 1000)[None, :, None].expand(E, 1000, 2)
    drawn = model.sample(output, z, action, uniform, torch.zeros_like(z))
    torch.testing.assert_close(drawn[..., 0], torch.full((E, 1000), 7 + 0.5 * 4))
    assert set(drawn[..., 1].unique().tolist()) == {0.0, 1.0}
    assert drawn[..., 1].mean().item() == pytest.approx(0.75, abs=0.01)
    expected = model.expected(output, z, action)
    torch.testing.assert_close(expected[0, 0], torch.tensor([9.0, 1.0]))


def test_a_binary_dimension_follows_from_where_the_others_are_drawn():
    stats = WorldStats(2, delta=1.0, binary=torch.tensor([False, True]))
    with torch_init(0, "test"):
        model = MDNRNN(CONFIG, 2, A, stats)
    output = output_of(logit=50.0, mean=4.0, shape=(E, 1, 2))
    z, action = torch.full((E, 1, 2), 7.0), torch.zeros(E, 1, A)
    here = model.binary_logit(output, z, action, z)
    assert not torch.equal(here, model.binary_logit(output, z, action, z + torch.tensor([1.0, 0.0])))
    # its own value, which is being asked for, does not show
    assert torch.equal(here, model.binary_logit(output, z, action, z + torch.tensor([0.0, 1.0])))


def test_a_sample_asks_for_the_coin_where_the_body_was_drawn(monkeypatch):
    model = MDNRNN(CONFIG, 2, A, WorldStats(2, delta=1.0, binary=torch.tensor([False, True])))
    monkeypatch.setattr(model, "binary_logit", lambda output, z, action, z_next: z_next[..., :1].expand(z.shape) - 10)
    z, action, half = torch.full((1, 1, 2), 7.0), torch.zeros(1, 1, A), torch.full((1, 1, 2), 0.5)
    for mean, coin in ((1.0, 0.0), (4.0, 1.0)):  # to 8, and to 11
        output = output_of(logit=50.0, mean=mean, shape=(1, 1, 2))
        assert model.sample(output, z, action, half, torch.zeros_like(z))[0, 0, 1].item() == coin
        assert model.expected(output, z, action)[0, 0, 1].item() == coin


def test_without_delta_the_mixture_is_z_itself():
    model = MDNRNN(CONFIG, 2, A)
    output = output_of(logit=50.0, mean=4.0, shape=(1, 1, 2))
    expected = model.expected(output, torch.full((1, 1, 2), 7.0), torch.zeros(1, 1, A))
    assert expected.tolist() == [[[4.0, 4.0]]]


def test_rewards_are_in_the_environments_units_and_range():
    stats = WorldStats(
        2, reward_mean=1.0, reward_scale=2.0, reward_high=6.5, terminal_reward_scale=10.0, terminal_reward_low=-20.0
    )
    model = MDNRNN(CONFIG, 2, A, stats)
    outcome = Outcome(torch.tensor(3.0), torch.tensor(-3.0), torch.tensor(0.0))
    assert model.step_reward(outcome).item() == 6.5  # 1 + 2 · 3 = 7, beyond the data
    assert model.terminal_reward(outcome).item() == -20.0  # 10 · -3


def test_the_reward_to_expect_is_a_mean_over_the_end():
    stats = WorldStats(2, reward_mean=1.0, terminal_reward_scale=10.0)
    outcome = Outcome(torch.tensor(2.0), torch.tensor(-4.0), torch.tensor(0.75).logit())
    assert MDNRNN(CONFIG, 2, A, stats).expected_reward(outcome).item() == pytest.approx(0.25 * 3 - 0.75 * 40)


def test_termination_starts_from_its_true_rate():
    model, (z, action) = make(stats=WorldStats(Z, terminated_rate=1e-3)), data()
    with torch.no_grad():
        dict(model.outcome_heads.end.named_parameters())["layers.2.weight"][..., -1] = 0
        outcome = model.outcome(model.unroll(z, action, model.initial_state(B)), z, action, z)
        probability = torch.sigmoid(outcome.terminated_logit)
    torch.testing.assert_close(probability, torch.full((E, B, L), 1e-3))


def test_saved_and_loaded_it_is_the_same(tmp_path):
    binary = torch.arange(Z) == 1
    model, (z, action) = make(stats=WorldStats(Z, delta=1.0, z_low=torch.arange(5.0), binary=binary)), data()
    save_memory(tmp_path / "m", model)
    loaded = load_memory(tmp_path / "m")
    assert loaded.config == model.config
    assert torch.equal(loaded.stats.z_low, torch.arange(5.0))
    one, other = (m.unroll(z, action, m.initial_state(B)) for m in (model, loaded))
    assert torch.equal(one.mean, other.mean)
    assert loaded.has_binary
    assert torch.equal(*(m.expected(one, z, action) for m in (model, loaded)))
    save(tmp_path / "v", {}, {"kind": "vae"})
    with pytest.raises(CheckpointError, match="'vae', not mdnrnn"):
        load_memory(tmp_path / "v")


def test_the_settings_of_another_version_are_one_line():
    weights, about = pack_memory(make())
    with pytest.raises(ParamError, match=r"a saved M: mdnrnn\.of_old is not a setting; mdnrnn takes "):
        unpack_memory(weights, about | {"config": about["config"] | {"of_old": 1}})


@pytest.mark.parametrize(
    "wrong", [{"ensemble_size": 0}, {"learning_rate": 0.0}, {"sequence_length": "64"}, {"epoch": 3}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ParamError, match=f"mdnrnn.{next(iter(wrong))}"):
        parse_section("mdnrnn", wrong, type(CONFIG))
