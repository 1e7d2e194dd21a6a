"""Tests that the benchmarks run and return what they document; measured values are not checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import growth, scaling
from benchmarks.measure import Result, compare, row

ROOT = Path(__file__).parent.parent
KEYS = {"path", "ours", "naive", "limit", "ratio", "fraction_of_limit", "unit"}

ABSENT = """
import importlib.machinery as machinery
absent = {"gymnasium", "pydantic", "pydantic_core", "omegaconf", "tqdm", "joblib", "h5py", "hdf5plugin", "cv2"}
absent |= {"ale_py", "cma", "av", "matplotlib", "scipy", "psutil", "dvc", "dvclive", "tensorboard", "yaml", "ray"}
absent |= {"ruamel"}
find = machinery.PathFinder.find_spec
machinery.PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in absent else find(name, *rest)
import torch
from benchmarks import dream, encode, mdnrnn_train, vae_train
from worldmodels.dream.config import DreamConfig
from worldmodels.memory.config import MDNRNNConfig
device = torch.device("cpu")
dream.HORIZON, encode.FRAMES, vae_train.UPDATES, vae_train.BATCH = 2, 8, 1, 4
mdnrnn_train.EPISODES, mdnrnn_train.WINDOWS_PER_EPISODE = 2, 1
config = MDNRNNConfig(sequence_length=64, batch_size=2, epochs=1)
print(dream.in_one_batch(DreamConfig(horizon=2, end_on_leaving=False), device)(), encode.ours(device)(),
      vae_train.ours(device, "float32")(), mdnrnn_train.ours(device, config)())
"""


@pytest.mark.slow
def test_those_for_an_accelerator_need_torch_and_numpy_alone():
    done = subprocess.run([sys.executable, "-c", ABSENT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "2048.0",
        "8",
        "4",
        "128",
    ]  # 64 × 16 dreams of 2 steps, 8 frames, 4 frames, 2 × 64 steps


def test_a_row_has_the_medians_and_their_ratios():
    sizes = iter([1.0, *[3.0] * 3, 1.0, *[1.0] * 3])
    result = compare("path", {"ours": lambda: 6.0, "naive": lambda: next(sizes, 1.0)}, unit="things/s", repeats=3)
    assert result.path == "path" and result.unit == "things/s" and result.limit is None
    assert result.naive is not None and result.ratio == pytest.approx(result.ours / result.naive)
    assert set(result.spread) == {"ours", "naive"} and result.fraction_of_limit is None
    assert (
        row("x", 6.0, 2.0, 12.0, unit="u").ratio == 3.0 and row("x", 6.0, 2.0, 12.0, unit="u").fraction_of_limit == 0.5
    )


def test_the_command_writes_its_table_as_json(tmp_path, monkeypatch, capsys):
    rows = [Result(path="encode", ours=10.0, naive=2.0, limit=20.0, ratio=5.0, fraction_of_limit=0.5, unit="frames/s")]
    monkeypatch.setattr("benchmarks.encode.run", lambda device: rows)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "encode", "--json", str(tmp_path / "figures.json")])
    command.main()
    (written,) = json.loads((tmp_path / "figures.json").read_text())
    assert written.keys() >= KEYS and written["ratio"] == 5.0
    assert "encode" in capsys.readouterr().out


@pytest.mark.parametrize("name", command.ON_ANY_DEVICE + command.ON_CPU)
def test_every_benchmark_is_there(name):
    module = pytest.importorskip(f"benchmarks.{name}")
    assert callable(module.run)


def test_a_benchmark_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "telepathy"])
    with pytest.raises(SystemExit):
        command.main()
    assert "telepathy: not a benchmark on cpu; accepted: dream" in capsys.readouterr().err
    assert torch.get_num_threads() > 0


def test_what_is_reckoned_follows_from_the_rates(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = ("agent", "carracing", "vae_train", "encode", "mdnrnn_train", "dream")
    figures = [{"path": name, "ours": 50.0 if name == "agent" else 100.0, "limit": 200.0} for name in names]
    rate = scaling.rates(figures, "carracing", 2)
    assert (rate.frame, rate.draw, rate.think) == pytest.approx((200, 200, 100))
    params = scaling.composed("carracing")
    one, many = (scaling.hours(params, rate, cores) for cores in (1, 64))
    assert one.keys() == many.keys() and all(many[stage] <= one[stage] for stage in one)
    steps = [30 * 10_000 + 250 * 1000 * k for k in range(12)]  # each round trains on all previous episodes
    assert one["encode"] == many["encode"] == pytest.approx(sum(steps) / 100 / 3600)
    assert one["vae"] == pytest.approx(12 * 5000 * 64 / 100 / 3600)  # the updates end it, not ten passes
    assert one["mdnrnn"] == pytest.approx(12 * 6000 * 32 * 32 / 100 / 3600)
    assert one["controller, dreams"] == pytest.approx(12 * 800 * 256 * 16 * 100 / 50 / 3600)
    assert many["controller, dreams"] == pytest.approx(one["controller, dreams"] / 16)  # sixteen tasks per generation
    step = 4 / 200 + 1 / 200 + 1 / 100
    finals = (3 + 11 * 4) * 64  # with the previous round's
    assert one["controller, final"] == pytest.approx(finals * (50 / 200 + 250 * step) / 3600)


@pytest.mark.slow
def test_a_curve_has_time_limit_and_memory_and_can_be_drawn(tmp_path):
    points = [growth.point("popsize", size) for size in (1, 2)]
    assert all(one["seconds"] > 0 and one["limit_seconds"] > 0 and one["peak_mb"] > 100 for one in points)
    growth.draw(tmp_path / "growth.png", {"popsize": points})
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
