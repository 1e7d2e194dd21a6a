"""Tests of the whole pipeline as DVC runs it, with tiny parameters, in a separate checkout."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_core_python.sync_playwright import Axe
from filelock import FileLock
from omegaconf import OmegaConf

from stages.code import STAGES as CODE_OF
from stages.common.job import RunConfig
from tests.browser import CHROMIUM, chromium, page_of
from tests.test_conf import composed
from worldmodels import Round
from worldmodels.common.params import load_section

ROOT = Path(__file__).parent.parent
TINY = [
    "run.seed=3",
    "runtime.workers=1",
    "runtime.device=cpu",
    "collect.random_episodes=8",
    "collect.controller_episodes=8",
    "collect.max_steps=40",
    "collect.episodes_per_shard=4",
    "vae.width=2",
    "vae.z_dim=4",
    "vae.epochs=2",
    "vae.batch_size=16",
    "mdnrnn.hidden_dim=8",
    "mdnrnn.num_mixtures=2",
    "mdnrnn.ensemble_size=2",
    "mdnrnn.head_hidden_dim=8",
    "mdnrnn.epochs=1",
    "mdnrnn.batch_size=4",
    "mdnrnn.sequence_length=8",
    "dream.horizon=20",
    "controller.features=zh",
    "controller.popsize=4",
    "controller.generations=2",
    "controller.rollouts=2",
    "controller.validation_rollouts=2",
    "controller.final_rollouts=2",
    "evaluate.episodes=3",
    "evaluate.dream_rollouts=4",
    "evaluate.check_controllers=2",
    "evaluate.check_episodes=1",
    "evaluate.videos=1",
]
COUNTING = ["env.id=tests.environments:CountingPixels-v0", "env.max_steps=12"]
METRICS = {
    "return_mean",
    "return_std",
    "return_ci95_low",
    "return_ci95_high",
    "return_min",
    "return_max",
    "length_mean",
    "episodes",
    "random_return_mean",
    "dream_return_mean",
    "env_steps",
    "solved",
}


def checkout(tmp_path: Path, *overrides: str) -> Path:
    """A copy of the project with other parameters."""
    tmp_path.mkdir(parents=True, exist_ok=True)
    for name in ("stages", "worldmodels", "environments", "tests", "conf", "panels", ".dvc"):
        ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    OmegaConf.save(OmegaConf.create(composed(*TINY, *overrides)), tmp_path / "params.yaml")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Tiny parameters"]):  # dvclive requires a commit
        subprocess.run([*git, *command], check=True)
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``, with this interpreter's programs and one thread."""
    return subprocess.run(command, cwd=folder, env=environ(), capture_output=True, text=True, timeout=600, check=False)


def environ() -> dict[str, str]:
    """This interpreter's programs, and one thread."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC", "PYTHONPATH"))}
    return env | {"PATH": path, "OMP_NUM_THREADS": "1"}


def repro(folder: Path, *arguments: str) -> str:
    done = run(folder, "dvc", "repro", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("env", [["env.id=CartPole-v1"], COUNTING], ids=["state", "pixels"])
def test_the_pipeline_runs_on_a_gpu(tmp_path: Path, env: list[str]) -> None:
    folder = checkout(tmp_path, "run.rounds=2", "runtime.device=cuda", *env)
    repro(folder)
    check_results(folder)
    check_the_gates(folder, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "rounds"),
    [
        (["env.id=CartPole-v1"], 2),
        ([*COUNTING, "evaluate.env_id=tests.environments:DoublingPixels-v0"], 1),
    ],
    ids=["state, two rounds", "pixels, scored elsewhere"],
)
def test_the_pipeline_runs_once(tmp_path: Path, env: list[str], rounds: int) -> None:
    folder = checkout(tmp_path, f"run.rounds={rounds}", *env)
    steps = ["collect", "vae", "encode", "mdnrnn", "controller"]
    expected = ["code", "init", *(f"{step}@r{k + 1}" for k in range(rounds) for step in steps), "evaluate", "report"]
    said = repro(folder)
    assert sorted(ran(said)) == sorted(expected)
    assert re.search(r"collect-r1: in \d+ s 8 episodes of .*; `python -m worldmodels.info data/episodes/r1`", said)
    assert ran(repro(folder)) == ["code"]
    check_results(folder)
    check_the_gates(folder, rounds)
    check_the_page(folder / "results" / "report" / "index.html")
    check_a_clone(folder)
    check_the_packed_agent(folder)
    check_the_readmes_code(folder, f"r{rounds}")
    if env[0] in COUNTING:
        check_where_it_was_scored(folder / "results" / "evaluate")
    else:
        for k in range(rounds):
            z = np.load(folder / "data" / "latents" / f"r{k + 1}" / "mu.npy")
            np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)  # each round's V is fitted to all states so far
            np.testing.assert_allclose(z.std(0), 1, atol=1e-3)
        check_that_the_first_controller_acts_as_before(folder)
    params = OmegaConf.load(folder / "params.yaml")
    params.mdnrnn.epochs = 2
    OmegaConf.save(params, folder / "params.yaml")
    stale = ran(repro(folder, f"controller@r{rounds}", "--dry"))
    assert "mdnrnn@r1" in stale
    assert "vae@r1" not in stale
    assert "collect@r1" not in stale


def check_that_the_first_controller_acts_as_before(folder: Path) -> None:
    """The second round has it among its lineage; in both, what it makes of a state, without its reading of h."""
    first, second = (Round(name, folder) for name in ("r1", "r2"))
    states = np.random.default_rng(0).standard_normal((5, first.vae.z_dim)).astype(np.float32)
    outputs = []
    for vision, solution in ((first.vae, first.controller.best), (second.vae, second.controller.lineage[-1])):
        actions = first.controller.controller.action_dim
        weight, bias = solution[:-actions].reshape(-1, actions), solution[-actions:]
        outputs.append(vision.encode(states)[0] @ weight[: first.vae.z_dim] + bias)
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-3)
    assert not np.allclose(second.controller.lineage[-1], first.controller.best, atol=1e-3)


def check_results(folder: Path) -> None:
    metrics = json.loads((folder / "results" / "evaluate" / "metrics.json").read_text())
    assert set(metrics) >= METRICS
    assert metrics["return_ci95_low"] <= metrics["return_mean"] <= metrics["return_ci95_high"]
    assert metrics["env_steps"] > 0
    with (folder / "results" / "evaluate" / "plots" / "returns.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["seed"]) for row in rows] == [0, 1, 2]
    assert sum(float(row["return"]) for row in rows) / 3 == pytest.approx(metrics["return_mean"])
    for video in ("agent-0.mp4", "dream.mp4"):
        assert (folder / "results" / "evaluate" / "videos" / video).stat().st_size > 1000
    assert not [path for path in (folder / ".scratch").iterdir() if path.is_dir()]
    assert list((folder / "runs").rglob("events.out.tfevents.*"))


def check_the_gates(folder: Path, rounds: int) -> None:
    """The last round tells every round's, and dvc draws them."""
    with (folder / f"results/mdnrnn/r{rounds}/plots/gates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["round"]) for row in rows] == [k + 1 for k in range(rounds)]
    for row in rows:
        own = json.loads((folder / f"results/mdnrnn/r{row['round']}/metrics.json").read_text())
        assert float(row["copy_last"]) == own["baselines"]["copy_last"]
        assert float(row["nll"]) == pytest.approx(own["validation"]["nll"], abs=1e-4)
    done = run(folder, "dvc", "plots", "show", "-o", "drawn")
    assert done.returncode == 0, done.stderr
    assert "failed to load" not in done.stdout + done.stderr
    drawn = (folder / "drawn" / "index.html").read_text()
    for title in ("M, rewards by round", "M, loss on held-out episodes", "C, return in the search"):
        assert title in drawn
    for name in ("memory_loss", "search", "validation"):
        with (folder / f"results/report/curves/{name}.csv").open() as file:
            assert {int(row["round"]) for row in csv.DictReader(file)} == {k + 1 for k in range(rounds)}


def check_the_page(path: Path) -> None:
    """It is whole in itself, shows everything, and can be read on a telephone, in the dark and by who does not see."""
    if CHROMIUM is None:
        warnings.warn("the page was not looked at: no Chromium", stacklevel=2)
        return
    with chromium() as browser:
        for width, scheme in ((400, "light"), (1600, "dark")):
            with page_of(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as (page, errors):
                page.route(re.compile("^https?:"), lambda route: route.abort())
                page.goto(path.as_uri())
                page.wait_for_function("[...document.images].every(image => image.complete)")
                assert page.evaluate("Math.min(...[...document.images].map(image => image.naturalWidth))") > 100
                assert page.evaluate("document.images.length") >= 7
                page.evaluate("Promise.all([...document.querySelectorAll('video')].map(film => film.play()))")
                page.wait_for_function("[...document.querySelectorAll('video')].every(film => film.currentTime > 0)")
                assert page.evaluate("document.querySelectorAll('video').length") == 2
                assert page.evaluate("document.documentElement.scrollWidth") == width
                page.keyboard.press("Tab")
                page.keyboard.press("Enter")
                assert page.url.endswith("#films")
                assert not [one["id"] for one in Axe().run(page)["violations"]]
                assert not errors


def check_a_clone(folder: Path) -> None:
    """One stage can be run as an experiment in a clone to which no data have come."""
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "add", "dvc.lock", "results"], check=True)
    subprocess.run([*git, "commit", "-qm", "Run"], check=True)
    subprocess.run(["git", "clone", "-q", str(folder), str(folder / "clone")], check=True)
    done = run(folder / "clone", "dvc", "exp", "run", "collect@r1")
    assert done.returncode == 0, done.stderr
    assert ran(done.stdout) == ["code", "init", "collect@r1"]
    shutil.rmtree(folder / "clone")


def check_the_packed_agent(folder: Path) -> None:
    """Check that the packed agent has the same scores when loaded elsewhere, and that artefacts open by name."""
    done = run(folder, sys.executable, "-m", "stages.export", "agents/tiny")
    assert done.returncode == 0, done.stderr
    recorded = json.loads((folder / "results" / "evaluate" / "metrics.json").read_text())
    command = [sys.executable, "-m", "worldmodels.evaluate", "agents/tiny", "--episodes", "3"]
    done = run(folder, *command, "--seed", "0", "--workers", "1", "--video", "agent.mp4")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [recorded]
    assert (folder / "agent.mp4").read_bytes() == (folder / "results/evaluate/videos/agent-0.mp4").read_bytes()
    other = json.loads(run(folder, *command, "--seed", "12345").stdout)
    assert other.keys() == recorded.keys() and other["episodes"] == 3
    about = json.loads((folder / "agents" / "tiny" / "agent.json").read_text())
    assert {"params", "lineage", "score", "env", "spec"} <= about.keys()
    assert set(about["lineage"]["code"]) == set(CODE_OF)
    last = Round(load_section("run", RunConfig, folder / "params.yaml").final_round, folder)
    assert len(last.episodes) == len(last.latents) > 0
    assert last.vae.z_dim == last.mdnrnn.z_dim == last.latents.z_dim
    assert last.controller.controller.action_dim == last.spec.action_dim


def check_the_readmes_code(folder: Path, last_round: str) -> None:
    """Check that the code in its section "As a library" runs as written, except for names."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## As a library")[1].split("\n## ")[0]
    code = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    code = code.replace("agents/mine", "agents/tiny").replace('"r4"', f'"{last_round}"')
    done = run(folder, sys.executable, "-c", f"{code}\nprint(terminated, env.reset(seed=0)[0].shape)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("False (")


def check_where_it_was_scored(results: Path) -> None:
    """Every episode returns 45, or 90 in the environment of the score."""
    metrics = json.loads((results / "metrics.json").read_text())
    assert (metrics["return_mean"], metrics["random_return_mean"], metrics["solved"]) == (90, 90, True)
    with (results / "plots" / "dream_check.csv").open() as file:  # measured in the environment that the dream models
        assert {float(row["real_return"]) for row in csv.DictReader(file)} == {45}


def test_a_stage_imports_the_library_beside_it(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    (folder / "worldmodels" / "common" / "params.py").write_text("raise SystemExit('the library of this checkout')\n")
    done = run(folder, sys.executable, "-m", "stages.init")
    assert "the library of this checkout" in done.stderr


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("env.id=LunarLander-v2", ["env.id", "LunarLander-v2", "LunarLander-v3"]),
        ("env.id=CarRacing-v2", ["env.id", "CarRacing-v3"]),
        ("env.id=PongNoFrameskip-v5", ["env.id", "PongNoFrameskip-v4", "ALE/Pong-v5"]),
        ("vae.epochs=0", ["vae.epochs = 0", "greater than or equal to 1"]),
        ("env.key=nose", ["env.key = 'nose'", "LunarLander-v3", "it has no parts"]),
        ("evaluate.env_id=CartPole-v1", ["evaluate.env_id", "CartPole-v1", "obs_shape is (4,)", "(8,)"]),
    ],
)
def test_a_wrong_parameter_is_one_line_before_any_work(tmp_path: Path, override: str, parts: list[str]) -> None:
    folder = checkout(tmp_path, override)
    done = run(folder, sys.executable, "-m", "stages.init")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line] == [done.stderr.strip()]
    for part in parts:
        assert part in done.stderr
    assert not any((folder / name).exists() for name in ("data", "models", "results"))


WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None  # an import of it raises
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def test_one_process_at_a_time_is_at_work_on_a_stage_of_a_round(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    with FileLock(folder / ".scratch" / "init.lock"):
        done = run(folder, sys.executable, "-m", "stages.init")
    assert done.returncode == 1
    assert done.stderr.startswith("error: init: another process is at work on it")
    assert not (folder / "data").exists()
    assert run(folder, sys.executable, "-m", "stages.init").returncode == 0


@pytest.mark.slow
def test_experiments_with_the_same_work_wait_for_each_other(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    collect = [sys.executable, "-m", "stages.collect", "r1", "r0"]
    for command in ([sys.executable, "-m", "stages.code"], [sys.executable, "-m", "stages.init"], collect):
        assert run(folder, *command).returncode == 0
    made = (folder / "data" / "episodes" / "r1" / "manifest.json").read_bytes()
    (path,) = (folder / ".scratch").glob("collect-r1-*.lock")  # another folder's experiment would hold it
    with FileLock(path):
        waiting = subprocess.Popen(collect, cwd=folder, env=environ(), stdout=subprocess.PIPE, text=True)
        assert waiting.stdout is not None
        assert "another experiment is at work on the same" in waiting.stdout.readline()
        assert waiting.poll() is None
    waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert (folder / "data" / "episodes" / "r1" / "manifest.json").read_bytes() == made


@pytest.mark.slow
def test_states_are_played_and_encoded_without_torch(tmp_path: Path) -> None:
    folder = checkout(tmp_path, "env.id=CartPole-v1", "runtime.backend=threading")
    for command in ("stages.code", "stages.init", "stages.collect r1 r0", "stages.vae r1 r0", "stages.encode r1 r0"):
        done = run(folder, sys.executable, "-c", WITHOUT_TORCH, *command.split())
        assert done.returncode == 0, done.stderr
    assert (folder / "data" / "latents" / "r1" / "manifest.json").exists()
