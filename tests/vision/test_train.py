"""Tests of training V: convergence, model selection, errors on non-finite values, and bit-identical resumption."""

import signal
import subprocess
import sys
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runs import Killed, Recorder
from tests.vision.frames import SMALL, Squares, model_bytes, train
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.params import ParamError, parse_section
from worldmodels.training import TrainingError
from worldmodels.vision.config import VAEConfig

pytestmark = pytest.mark.slow  # a second each, and there are many
ROOT = Path(__file__).parents[2]


def uninterrupted(root: Path, config: VAEConfig, **options) -> tuple[bytes, list]:
    log = Recorder()
    train(root, config, log=log, **options)
    return model_bytes(root), log.calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, list]:
    return uninterrupted(tmp_path_factory.mktemp("whole"), SMALL)


@pytest.mark.parametrize(("padding", "width", "learning_rate"), [(0, 2, 1e-2), (1, 8, 5e-3)])
def test_it_learns(tmp_path, padding, width, learning_rate):
    log = Recorder()
    train(tmp_path, replace(SMALL, padding=padding, width=width, learning_rate=learning_rate, epochs=24), log=log)
    losses = log.named("validation/loss")
    assert len(losses) == 24
    assert losses[-1] < 0.7 * losses[0]


def test_metrics_come_at_their_updates(whole):
    assert [step for step, _ in whole[1]] == [2, 4, 5, 6, 8, 10, 10]  # 5 updates per epoch, train/ every 2
    assert set(whole[1][0][1]) == {"train/loss", "train/reconstruction", "train/kl"}
    assert set(whole[1][2][1]) == {"validation/loss", "validation/reconstruction", "validation/kl"}


def test_the_updates_can_end_it_within_an_epoch(tmp_path):
    log = Recorder()
    train(tmp_path, replace(SMALL, epochs=24, max_updates=7), log=log)
    assert [step for step, metrics in log.calls if "validation/loss" in metrics] == [5, 7]


def test_a_point_is_the_mean_of_its_updates(tmp_path, whole):
    log = Recorder()
    train(tmp_path, log=log, log_every=1)
    each = log.named("train/loss")
    assert whole[1][0][1]["train/loss"] == pytest.approx((each[0] + each[1]) / 2)


def test_the_first_round_s_mean_frame_is_kept(tmp_path):
    first, later = Squares(), Squares()
    first.mean_frame = np.full((64, 64, 3), 51, np.uint8)
    before = train(tmp_path / "r1", source=first)
    assert (before.mean_frame == 0.2).all()
    after = train(tmp_path / "r2", source=later, previous=before)
    assert torch.equal(after.mean_frame, before.mean_frame)


def test_what_is_usual_is_measured_from_the_kept_mean_frame(tmp_path):
    first, later, asked = Squares(), Squares(), []
    first.mean_frame = np.full((64, 64, 3), 51, np.uint8)
    later.mean_distance = lambda mean_frame: asked.append(mean_frame) or Squares().mean_distance(mean_frame)
    config = replace(SMALL, foreground_weight=10.0)
    train(tmp_path / "r2", config, source=later, previous=train(tmp_path / "r1", config, source=first))
    (mean_frame,) = asked
    np.testing.assert_allclose(mean_frame, first.mean_frame, rtol=1e-6)


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path, whole):
    train(tmp_path / "same")
    train(tmp_path / "other", seed=1)
    assert model_bytes(tmp_path / "same") == whole[0]
    assert model_bytes(tmp_path / "other") != whole[0]


@pytest.mark.parametrize("checkpoint_every", [1, 3])  # 3: the checkpoint contains half of a point's sums
@pytest.mark.parametrize("stop", [0, 1, 2, 3, 6])
def test_a_stopped_run_resumes_to_the_same_bytes_and_logs(tmp_path, stop, checkpoint_every):
    options = {"checkpoint_every": checkpoint_every}
    with pytest.raises(Killed):
        train(tmp_path / "stopped", log=Recorder(stop), **options)
    assert not (tmp_path / "stopped/vae").exists()
    log = Recorder()
    train(tmp_path / "stopped", log=log, **options)
    wanted = uninterrupted(tmp_path / "whole", SMALL, **options)
    assert (model_bytes(tmp_path / "stopped"), log.calls) == wanted


def test_a_resumed_run_goes_on_and_does_not_begin_again(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, log=Recorder(4))
    source, seen = Squares(), []
    plain = source.train_batches

    def train_batches(epoch, start):
        seen.append((epoch, start))
        return plain(epoch, start)

    source.train_batches = train_batches
    train(tmp_path, source=source)
    assert seen == [(1, 2)]  # the fifth point, of update 8, was lost; the checkpoint is of update 7


def test_a_killed_process_resumes_to_the_same_bytes(tmp_path, whole):
    command = [sys.executable, "-m", "tests.vision.hanging_job", str(tmp_path), "8"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        job.send_signal(signal.SIGKILL)
    assert job.returncode == -signal.SIGKILL
    assert not (tmp_path / "vae").exists()
    train(tmp_path)
    assert model_bytes(tmp_path) == whole[0]


def test_the_best_is_the_epoch_of_lowest_validation_loss(tmp_path):
    def shown(*harder: bool) -> Squares:
        source = Squares()
        frames = iter([255 - source.held_out if hard else source.held_out for hard in harder])
        source.validation_batches = lambda: iter([next(frames)])
        return source

    log, config = Recorder(), replace(SMALL, epochs=3)
    best = train(tmp_path, config, source=shown(True, False, True), log=log)
    assert np.argmin(log.named("validation/loss")) == 1
    with pytest.raises(Killed):  # in the third epoch: the last checkpoint is of the second's end
        train(tmp_path / "second", config, source=shown(True, False), log=Recorder(7), checkpoint_every=100)
    saved = Scratch(tmp_path / "second/scratch", "vae", "0" * 16).load()
    assert saved and saved["state"]["update"] == 10
    assert all(torch.equal(best.state_dict()[name], weights) for name, weights in saved["state"]["model"].items())
    last = train(tmp_path / "last", config, source=shown(True, True, False))
    assert not torch.equal(last.posterior.weight, best.posterior.weight)


def test_it_starts_from_the_previous_v(tmp_path):
    first = train(tmp_path / "first", replace(SMALL, epochs=6))
    warm = train(tmp_path / "warm", replace(SMALL, epochs=1, learning_rate=1e-12), previous=first)
    for name, weights in first.state_dict().items():
        torch.testing.assert_close(warm.state_dict()[name], weights, rtol=0, atol=1e-9)


def test_what_is_not_finite_stops_with_the_update_named_and_the_last_checkpoint_kept(tmp_path):
    source = Squares()
    plain = source.train_batches

    def train_batches(epoch, start):
        for number, frames in enumerate(plain(epoch, start), start):
            yield frames if (epoch, number) != (1, 2) else np.full_like(frames, nan, dtype=np.float32)

    source.train_batches = train_batches  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TrainingError, match="at update 8"):
        train(tmp_path, source=source)
    assert not (tmp_path / "vae").exists()
    seen = []
    train(tmp_path, log=lambda step, metrics: seen.append(step))  # good frames: continues from update 7
    assert seen[-1] == 10


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="no frames"):
        train(tmp_path, source=Squares(batches=0))
    source = Squares()
    source.validation_batches = lambda: iter([])
    with pytest.raises(TrainingError, match="no frames to validate on"):
        train(tmp_path, source=source)


def test_the_global_generator_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    train(tmp_path, replace(SMALL, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"beta": -1.0}, {"batch_size": "100"}, {"epoch": 3}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ParamError, match=f"vae.{next(iter(wrong))}"):
        parse_section("vae", wrong, VAEConfig)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_byte_depends_on_the_number_of_threads(tmp_path, precision):
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        train(tmp_path / str(count), replace(SMALL, precision=precision), source=Squares(size=48))  # three shards
    torch.set_num_threads(threads)
    assert model_bytes(tmp_path / "1") == model_bytes(tmp_path / "3")


def test_shards_learn_as_the_whole_batch_does(tmp_path, monkeypatch):
    logs = []
    for most in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda most=most: most)
        logs.append(Recorder())
        config = replace(SMALL, precision="float32")
        train(tmp_path / str(most), config, source=Squares(size=50), log=logs[-1])
    for (_, one), (_, other) in zip(logs[0].calls, logs[1].calls, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
