"""Tests of training M: convergence, model selection, errors on non-finite values, and bit-identical resumption."""

import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.memory.worlds import SMALL, make_store, model_bytes, train, walk, walks
from tests.runs import Killed, Recorder
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.files import load_memory
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.memory.open_loop import open_loop
from worldmodels.memory.train import clip_each_member
from worldmodels.memory.validate import validate
from worldmodels.training import TrainingError

pytestmark = pytest.mark.slow  # a second each, and there are many
ROOT = Path(__file__).parents[2]


def uninterrupted(root: Path, config: MDNRNNConfig, **options) -> tuple[bytes, list]:
    log = Recorder()
    train(root, config, log=log, **options)
    return model_bytes(root), log.calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, list]:
    return uninterrupted(tmp_path_factory.mktemp("whole"), SMALL)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    root = tmp_path_factory.mktemp("learned")
    log = Recorder()
    config = replace(SMALL, epochs=24, batch_size=8, hidden_dim=16, head_hidden_dim=32)
    return train(root, config, store=walks(root / "latents", 100), log=log), log


def test_it_learns_a_deterministic_world(learned, tmp_path):
    model, log = learned
    assert log.named("validation/loss")[-1] < log.named("validation/loss")[0]
    store = make_store(tmp_path / "unseen", [walk(1000 + seed) for seed in range(60)])
    metrics = validate(model, store, np.arange(len(store)), (0,))
    assert metrics["reward_rmse"] < 0.05  # rewards are ±0.2
    assert metrics["terminal_reward_rmse"] < 0.1
    assert metrics["recall"] > 0.8 and metrics["precision"] > 0.8
    assert 0.8 < metrics["calibration"] < 1.2
    gains = store.reward[store.reward > 0]  # 0.2, and 10 at an end
    assert metrics["reward_at_gain"] == pytest.approx(gains.mean(), rel=0.1)
    assert metrics["reward_at_loss"] == pytest.approx(-0.2, abs=0.1)


def test_open_loop_it_expects_what_ends_pay(learned, tmp_path):
    store = make_store(tmp_path / "unseen", [walk(1000 + seed) for seed in range(60)])
    everything = np.arange(len(store))
    assert open_loop(learned[0], store, everything, (0,), fitted_to=everything).reward_correlation > 0.8


def test_open_loop_it_beats_the_constant_and_short_horizons_are_easier(learned, tmp_path):
    store = make_store(tmp_path / "unseen", [walk(1000 + seed) for seed in range(60)])
    everything = np.arange(len(store))
    rows = open_loop(learned[0], store, everything, (0,), fitted_to=everything, horizons=(1, 5, 20)).rows
    assert [row.horizon for row in rows] == [1, 5, 20]
    assert all(row.error < 0.5 * row.constant_error for row in rows)
    assert rows[0].constant_error == pytest.approx(0.2, abs=1e-3)  # every step moves x by 0.2
    assert rows[0].error < rows[2].error


def test_a_horizon_nobody_reaches_is_left_out(learned, tmp_path):
    store = make_store(tmp_path / "short", [walk(seed, limit=12) for seed in range(5)])
    rows = open_loop(learned[0], store, np.arange(5), (0,), fitted_to=np.arange(5), horizons=(1, 2, 5)).rows
    assert [row.horizon for row in rows] == [1, 2]


def test_metrics_come_at_their_updates(tmp_path):
    log = Recorder()
    train(tmp_path, replace(SMALL, epochs=3, batch_size=2), log=log)
    updates = [step for step, metrics in log.calls if "validation/loss" in metrics]
    assert len(updates) == 3 and updates[1] == 2 * updates[0] and updates[2] == 3 * updates[0]
    assert all(step % 20 == 0 for step, metrics in log.calls if "train/loss" in metrics)
    assert len(log.named("train/loss")) == updates[-1] // 20


def test_validations_follow_whole_epochs_some_updates_apart(tmp_path):
    log = Recorder()
    train(tmp_path, replace(SMALL, epochs=5, batch_size=2), log=log)
    epochs = [step for step, metrics in log.calls if "validation/loss" in metrics]
    log = Recorder()
    train(tmp_path / "apart", replace(SMALL, epochs=5, batch_size=2, validation_every=epochs[0] + 1), log=log)
    assert [step for step, metrics in log.calls if "validation/loss" in metrics] == [epochs[1], epochs[3], epochs[4]]


def test_max_updates_is_a_ceiling_and_validates_at_the_end(tmp_path):
    log = Recorder()
    train(tmp_path, replace(SMALL, max_updates=3), log=log)
    assert [step for step, _ in log.calls] == [3]


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path, whole):
    train(tmp_path / "same")
    train(tmp_path / "other", seed=1)
    assert model_bytes(tmp_path / "same") == whole[0]
    assert model_bytes(tmp_path / "other") != whole[0]


@pytest.mark.parametrize("checkpoint_every", [1, 7])
@pytest.mark.parametrize("stop", [0, 1])
def test_a_stopped_run_resumes_to_the_same_bytes_and_logs(tmp_path, stop, checkpoint_every):
    options = {"checkpoint_every": checkpoint_every}
    with pytest.raises(Killed):
        train(tmp_path / "stopped", log=Recorder(stop), **options)
    assert not (tmp_path / "stopped/mdnrnn").exists()
    log = Recorder()
    train(tmp_path / "stopped", log=log, **options)
    wanted = uninterrupted(tmp_path / "whole", SMALL, **options)
    assert (model_bytes(tmp_path / "stopped"), log.calls) == wanted


def test_a_killed_process_resumes_to_the_same_bytes(tmp_path, whole):
    end_of_first_epoch = whole[1][0][0]
    command = [sys.executable, "-m", "tests.memory.hanging_job", str(tmp_path), str(end_of_first_epoch)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        job.send_signal(signal.SIGKILL)
    assert job.returncode == -signal.SIGKILL
    assert not (tmp_path / "mdnrnn").exists()
    train(tmp_path)
    assert model_bytes(tmp_path) == whole[0]


def test_the_best_is_the_epoch_of_lowest_validation_loss(tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0])
    seen: list[MDNRNN] = []

    def validate(model, *_):
        seen.append(deepcopy(model))
        return {"loss": next(losses)}

    monkeypatch.setattr("worldmodels.memory.train.validate", validate)
    best = train(tmp_path, replace(SMALL, epochs=3))
    for model in (best, load_memory(tmp_path / "mdnrnn")):
        assert torch.equal(model.head.weight, seen[1].head.weight)
    assert not torch.equal(seen[1].head.weight, seen[2].head.weight)


def test_it_starts_from_the_previous_m_with_the_units_of_its_own_data(tmp_path):
    first = train(tmp_path / "first")
    gentle = replace(SMALL, epochs=1, learning_rate=1e-12)
    warm = train(tmp_path / "warm", gentle, store=walks(tmp_path / "more", 25), previous=first)
    for name, weights in first.named_parameters():
        torch.testing.assert_close(warm.get_parameter(name), weights, rtol=0, atol=1e-6)
    assert warm.stats.terminated_rate != first.stats.terminated_rate


def test_a_previous_m_of_other_shapes_is_an_error(tmp_path):
    first = train(tmp_path / "first", replace(SMALL, epochs=1))
    with pytest.raises(TrainingError, match="hidden_dim"):
        train(tmp_path / "second", replace(SMALL, hidden_dim=9), previous=first)


def test_what_is_not_finite_stops_with_the_update_named_and_the_last_checkpoint_kept(tmp_path):
    broken = [walk(seed) for seed in range(20)]
    broken[7].reward[3] = nan
    with pytest.raises(TrainingError, match=r"at update \d+.*learning_rate"):
        train(tmp_path, store=make_store(tmp_path / "broken", broken))
    assert not (tmp_path / "mdnrnn").exists()


def test_members_learn_as_if_they_were_alone():
    """A member's gradient is clipped by its own norm."""
    parameter = torch.nn.Parameter(torch.zeros(2, 1, 2))
    model = torch.nn.Module()
    model.weight = parameter
    parameter.grad = torch.tensor([[[3.0, 4.0]], [[0.3, 0.4]]])
    norm = clip_each_member(model, 1.0)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(norm, torch.tensor([5.0, 0.5]))
    torch.testing.assert_close(parameter.grad, torch.tensor([[[0.6, 0.8]], [[0.3, 0.4]]]))


def test_the_global_generator_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    train(tmp_path, replace(SMALL, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_trains_the_same_model_but_for_rounding(tmp_path):
    """Over three updates, each of which lowers the loss by 0.5 to 1; later, two runs part for any reason."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        log = Recorder()
        train(tmp_path / precision, replace(SMALL, precision=precision, max_updates=3), log=log)
        (losses[precision],) = log.named("validation/loss")
    assert losses["bfloat16"] != losses["float32"]  # products did use another precision
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_byte_depends_on_the_number_of_threads(tmp_path, precision):
    config, threads = replace(SMALL, batch_size=32, precision=precision), torch.get_num_threads()  # two shards
    for count in (1, 3):
        torch.set_num_threads(count)
        train(tmp_path / str(count), config, store=walks(tmp_path / f"{count} latents", 100))
    torch.set_num_threads(threads)
    assert model_bytes(tmp_path / "1") == model_bytes(tmp_path / "3")


def test_shards_learn_as_the_whole_batch_does(tmp_path, monkeypatch):
    logs = []
    for most in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda most=most: most)
        logs.append(Recorder())
        config = replace(SMALL, batch_size=64, max_updates=20)
        train(tmp_path / str(most), config, store=walks(tmp_path / f"{most} latents", 200), log=logs[-1])
    assert [step for step, _ in logs[0].calls] == [step for step, _ in logs[1].calls]
    for (_, one), (_, other) in zip(logs[0].calls, logs[1].calls, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("observation", ["state", "pixels"])
def test_it_trains_with_and_without_binary_dimensions(tmp_path, observation):
    logged = set()
    store = make_store(tmp_path / "latents", [walk(seed) for seed in range(6)], observation)
    model = train(tmp_path, store=store, log=lambda step, metrics: logged.update(metrics))
    has = observation == "state"  # the walks' second dimension; a VAE's z never counts as binary
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert model.has_binary == has == ("validation/binary" in logged)
    assert any(name.startswith("binary_head") for name in trained) == has
