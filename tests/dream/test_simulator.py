import shutil
from typing import Any

import numpy as np
import pytest
import torch

from tests.dream.oracle import Oracle, Origin, dream_of, feedback, push, rng
from worldmodels.dream import simulator
from worldmodels.dream.starts import RecordedStart
from worldmodels.dream.state import DreamResult
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.stats import WorldStats

PUSHES = torch.tensor([[0.1, 0.0], [0.0, -0.2], [0.3, 0.3]])


def small_mdnrnn(ensemble_size: int = 2) -> MDNRNN:
    """Small changes in a wide range and an end in about 2 % of the steps, for any initial weights."""
    torch.manual_seed(3)
    ranges: dict[str, Any] = {"z_low": torch.full((2,), -2.0), "z_high": torch.full((2,), 2.0)}
    stats = WorldStats(2, delta=1.0, scale=torch.full((2,), 0.02), terminated_rate=0.02, **ranges)
    return MDNRNN(
        MDNRNNConfig(hidden_dim=8, num_mixtures=3, ensemble_size=ensemble_size, head_hidden_dim=6), 2, 2, stats
    ).eval()


def one_at_a_time(dream, act, solutions, start, noise) -> DreamResult:
    """The naive simulator: a loop over candidates, rollouts and steps, with one dream in the batch."""
    returns = torch.zeros(len(solutions), len(start.z))
    lengths, terminated, left, last_reward = returns.long(), returns.bool(), returns.bool(), returns.clone()
    for p, solution in enumerate(solutions):
        for r in range(len(start.z)):
            member = r % dream.ensemble_size
            state = dream.reset(start, torch.full((dream.ensemble_size, 1), r))
            for t in range(dream.config.horizon):
                action = act(solution[None], dream.features(state)[member][None])[0]
                state, reward, ended, gone = dream.step(
                    state, action.expand(dream.ensemble_size, 1, -1), noise.select(t, r)
                )
                returns[p, r] += reward[member, 0]
                lengths[p, r] += 1
                terminated[p, r], left[p, r] = ended[member, 0], gone[member, 0]
                last_reward[p, r] = reward[member, 0]
                if terminated[p, r]:
                    break
    return DreamResult(returns, lengths, terminated, left, last_reward)


def assert_same(a: DreamResult, b: DreamResult) -> None:
    assert torch.equal(a.lengths, b.lengths)
    assert torch.equal(a.terminated, b.terminated)
    assert torch.equal(a.left, b.left)
    np.testing.assert_allclose(a.returns, b.returns, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(a.last_reward, b.last_reward, rtol=1e-4, atol=1e-4)


def test_dream_of_the_oracle_is_the_true_trajectory():
    # z[t] = t · (push + drift), so the return over H steps is the sum of its coordinates · H (H - 1) / 2
    dream = dream_of(Oracle(ensemble_size=2), horizon=20)
    result = dream.returns(push, PUSHES, 4, rng())
    drift = 2 * 0.01 * torch.tensor([0, 1, 0, 1])  # rollout r is simulated by member r mod 2
    np.testing.assert_allclose(result.returns, (PUSHES.sum(1)[:, None] + drift) * 20 * 19 / 2, rtol=1e-5)
    assert (result.lengths == 20).all()
    assert not result.terminated.any()


def test_termination_ends_the_dream_with_the_terminal_reward():
    # z[t] = 0.1 t crosses 0.95 at t = 10, so the dream has steps 0 to 10; the reward of the last is -100
    dream = dream_of(Oracle(edge=0.95), horizon=50)
    result = dream.returns(push, PUSHES[:1], 3, rng())
    np.testing.assert_allclose(result.returns, torch.full((1, 3), sum(0.1 * t for t in range(10)) - 100), rtol=1e-5)
    assert (result.lengths == 11).all()
    assert result.terminated.all()


def test_termination_is_drawn_at_its_rate():
    result = dream_of(Oracle(hazard=0.2), horizon=400).returns(push, torch.zeros(1, 2), 4000, rng())
    assert result.terminated.all()
    assert result.lengths.float().mean().item() == pytest.approx(1 / 0.2, abs=0.3)  # geometric; standard error 0.07


@pytest.mark.parametrize(("ends", "length"), [(True, 12), (False, 50)])
def test_leaving_the_range_of_the_data_ends_the_dream(ends, length):
    # the range is [-1, 1] plus a tenth of its span: z[12] = 1.2 plus rounding is the first outside of it
    oracle = Oracle()
    oracle.stats = WorldStats(2, z_low=torch.full((2,), -1.0), z_high=torch.ones(2))
    dream = dream_of(oracle, horizon=50, end_on_leaving=ends, range_margin=0.0999)
    result = dream.returns(push, PUSHES[:1], 2, rng())
    assert (result.lengths == length).all()
    assert (result.terminated == ends).all()
    if ends:
        np.testing.assert_allclose(result.returns, torch.full((1, 2), sum(0.1 * t for t in range(11)) - 100), rtol=1e-5)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_dimension_that_never_varied_or_is_unbounded_ends_nothing(margin):
    oracle = Oracle()
    oracle.stats = WorldStats(2, z_low=torch.tensor([0.5, -torch.inf]), z_high=torch.tensor([0.5, torch.inf]))
    assert not dream_of(oracle, horizon=30, range_margin=margin).returns(push, PUSHES, 2, rng()).terminated.any()


def test_dream_that_becomes_nan_ends():
    oracle = Oracle()
    oracle.stats = WorldStats(2, z_low=torch.full((2,), -9.0), z_high=torch.full((2,), 9.0))
    result = dream_of(oracle, horizon=30).returns(push, torch.tensor([[torch.nan, 0.0], [0.0, 0.0]]), 2, rng())
    assert result.lengths.tolist() == [[1, 1], [30, 30]]
    assert torch.isfinite(result.returns).all()


@pytest.mark.parametrize("ensemble_size", [1, 2, 3])
@pytest.mark.parametrize("features", ["z", "zh"])
def test_batched_equals_one_at_a_time(ensemble_size, features):
    dream = dream_of(Oracle(ensemble_size, spread=0.1, edge=0.8, hazard=0.02), Origin(spread=0.2), features, horizon=60)
    solutions = torch.randn(4, 2 * dream.feature_dim, generator=rng(5))
    start, noise = dream.draw(5, rng(7))
    batched = dream.run(feedback, solutions, start, noise)
    assert_same(batched, one_at_a_time(dream, feedback, solutions, start, noise))
    assert batched.terminated.any()
    assert not batched.terminated.all()


@pytest.mark.parametrize("features", ["z", "zh"])
def test_batched_equals_one_at_a_time_with_the_real_memory(features):
    dream = dream_of(small_mdnrnn(), Origin(spread=0.2), features, horizon=60, temperature=1.2)
    solutions = torch.randn(4, 2 * dream.feature_dim, generator=rng(5))
    start, noise = dream.draw(5, rng(7))
    with torch.inference_mode():
        expected = one_at_a_time(dream, feedback, solutions, start, noise)
    assert_same(dream.run(feedback, solutions, start, noise), expected)
    assert expected.terminated.any()
    assert not expected.terminated.all()


def test_controller_is_shown_member_0_whoever_dreams():
    dream, shown = dream_of(Oracle(ensemble_size=2), Origin(spread=1.0), horizon=3), []

    def spy(solutions, features):
        shown.append(features.clone())
        return push(solutions, features)

    dream.returns(spy, PUSHES, 4, rng())
    z, h = torch.stack(shown).split((2, 1), dim=-1)  # (H, P, R, 2), (H, P, R, 1)
    total = z.sum(-1, keepdim=True).cumsum(0)
    assert (h[0] == 0).all()
    np.testing.assert_allclose(h[1:], total[:-1], rtol=1e-5)  # member 1's own would be twice that


def test_all_candidates_meet_the_same_starts_and_noise():
    dream = dream_of(Oracle(2, spread=0.1, hazard=0.05), Origin(spread=1.0), horizon=40)
    twins = torch.tensor([[0.1, 0.1]]).expand(3, -1)
    result = dream.returns(push, twins, 6, rng())
    for column in result:
        assert (column == column[0]).all()
    assert len(result.returns[0].unique()) == 6  # while the rollouts of one candidate differ


def test_generator_decides_the_dreams():
    dream = dream_of(Oracle(spread=0.1, hazard=0.05), horizon=40)
    once, again, other = (dream.returns(push, PUSHES, 3, rng(seed)).returns for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_neither_compaction_nor_chunks_change_results(monkeypatch):
    memory, solutions = Oracle(2, spread=0.1, edge=0.8, hazard=0.03), torch.randn(7, 6, generator=rng(5))
    results = []
    for compact_every, max_batch, multiple in (
        (1, 4096, 1),
        (10**9, 4096, 1),
        (4, 4096, 1),
        (4, 4096, 4),
        (4, 10, 1),
        (4, 1, 1),
    ):
        monkeypatch.setattr(simulator, "COMPACT_EVERY", compact_every)
        dream = dream_of(memory, Origin(spread=0.2), horizon=100, max_batch=max_batch)
        dream._multiple = multiple
        results.append(dream.returns(feedback, solutions, 5, rng(7)))
    for result in results[1:]:
        assert_same(result, results[0])


@pytest.mark.parametrize(("multiple", "left"), [(1, 20), (16, 32)])
def test_ended_dreams_are_stepped_no_more(monkeypatch, multiple, left):
    monkeypatch.setattr(simulator, "COMPACT_EVERY", 4)
    oracle, sizes = Oracle(edge=0.95), []
    dream = dream_of(oracle, horizon=100)
    dream._multiple = multiple
    monkeypatch.setattr(oracle, "step", lambda z, *rest: sizes.append(z.shape[1]) or Oracle.step(oracle, z, *rest))
    dream.returns(push, torch.tensor([[0.1, 0.0], [0.5, 0.0], [0.4, 0.0]]), 20, rng())
    # two of three candidates have ended before step 4, the last before step 12; its 20 rows are rounded up
    assert sizes == [60] * 4 + [left] * 8


def test_temperature_widens_the_dream():
    spreads = []
    for temperature in (0.25, 1.0, 4.0):
        dream = dream_of(Oracle(spread=1.0), horizon=2, temperature=temperature)
        spreads.append(dream.returns(push, torch.zeros(1, 2), 500, rng()).returns.std().item())
    assert spreads[1] / spreads[0] == pytest.approx(2, rel=1e-4)
    assert spreads[2] / spreads[1] == pytest.approx(2, rel=1e-4)


def test_bfloat16_is_the_same_dream_but_for_rounding():
    memory = small_mdnrnn()
    steps = []
    for precision in ("float32", "bfloat16"):
        dream = dream_of(memory, Origin(spread=0.2), horizon=1, precision=precision)
        start, noise = dream.draw(8, rng())
        state = dream.reset(start, torch.arange(8).view(2, 4))
        with torch.inference_mode():
            steps.append(dream.step(state, torch.ones(2, 4, 2), noise.select(0, torch.arange(8).view(2, 4))))
    (exact, reward, *_), (rounded, rounded_reward, *_) = steps
    assert rounded.z.dtype == rounded_reward.dtype == dream.features(rounded).dtype == torch.float32
    assert not torch.equal(exact.z, rounded.z)
    np.testing.assert_allclose(rounded.z, exact.z, atol=0.005)
    np.testing.assert_allclose(rounded.rnn.c, exact.rnn.c, atol=0.02)
    np.testing.assert_allclose(rounded_reward, reward, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"precision": "bfloat16"}, {"precision": "auto"}, {"compile": True}], ids=str)
def test_returns_agree_with_float32_within_their_standard_error(changed):
    if "compile" in changed and shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    memory, solutions, rollouts = small_mdnrnn(), 0.3 * torch.randn(6, 20, generator=rng(1)), 256
    exact, other = (
        dream_of(memory, Origin(spread=0.5), horizon=60, **config).returns(feedback, solutions, rollouts, rng())
        for config in ({}, changed)
    )
    error = exact.returns.std(dim=1) / rollouts**0.5  # (P,), of each candidate's mean
    assert (error > 0).all()
    assert ((other.returns.mean(1) - exact.returns.mean(1)).abs() < error).all()
    if changed == {"precision": "bfloat16"}:
        assert not torch.equal(other.returns, exact.returns)  # products did use another precision


def test_members_follow_the_recorded_steps_before_a_start():
    # the oracle's state is (e + 1) times the sum of all z that it was shown
    z = torch.arange(12.0).view(2, 3, 2)
    known = torch.tensor([[True, True], [False, True]])

    class Recorded(Origin):
        def draw(self, count, generator):
            return RecordedStart(z[:count], torch.zeros(count, 2, 2), known[:count])

    dream = dream_of(Oracle(ensemble_size=2), Recorded(), horizon=1)
    start, _ = dream.draw(2, rng())
    assert torch.equal(start.z, z[:, -1])
    shown = torch.tensor([[0.0 + 1 + 2 + 3], [8.0 + 9]])  # the second start's first step is not of its episode
    assert torch.equal(start.rnn.h, torch.stack([shown, 2 * shown]))
    state = dream.reset(start, torch.tensor([[0, 1], [1, 0]]))
    assert torch.equal(state.rnn.h[1], 2 * shown.flip(0))
    assert torch.equal(dream.features(state)[1, :, -1:], shown.flip(0))  # C sees member 0's
