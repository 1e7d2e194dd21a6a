import os
import re
import signal
import socket
import sys
import time

import pytest
import torch

from tests.test_pipeline import ROOT, checkout, run
from worldmodels.common.params import ParamError, UserError
from worldmodels.common.runtime import RuntimeConfig, WorkerError, run_tasks


def square(x: int) -> int:
    return x * x


def threads(_: int) -> int:
    return torch.get_num_threads()


def die(x: int) -> int:
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def hang(x: int) -> int:
    time.sleep(600 if x == 1 else 0)
    return x


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    runtime = RuntimeConfig(workers=workers)
    assert list(run_tasks(square, range(20), runtime, desc="squares")) == [x * x for x in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_has_one_thread_wherever_it_runs(workers: int) -> None:
    before = torch.get_num_threads()
    assert list(run_tasks(threads, [0, 1], RuntimeConfig(workers=workers), desc="threads")) == [1, 1]
    assert torch.get_num_threads() == before


def test_no_tasks_are_no_work() -> None:
    assert list(run_tasks(square, [], RuntimeConfig(), desc="nothing")) == []


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.slow
def test_a_worker_that_dies_is_an_error() -> None:
    with pytest.raises(WorkerError, match=r"die.*worker process died"):
        list(run_tasks(die, range(4), RuntimeConfig(workers=2), desc="die"))
    assert list(run_tasks(square, [3, 4], RuntimeConfig(workers=2), desc="after")) == [9, 16]


@pytest.mark.slow
def test_a_worker_that_hangs_is_an_error() -> None:
    runtime = RuntimeConfig(workers=2, task_timeout=3.0)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"task_timeout = 3 s"):
        list(run_tasks(hang, range(4), runtime, desc="hang"))
    assert time.monotonic() - started < 300


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("tasks", [[1], [0, 1, 0]])
def test_a_task_that_hangs_in_this_process_is_an_error_too(tasks: list[int]) -> None:
    runtime = RuntimeConfig(workers=1, task_timeout=1.0)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"hang: .*task_timeout = 1 s"):
        list(run_tasks(hang, tasks, runtime, desc="hang"))
    assert time.monotonic() - started < 60
    assert list(run_tasks(square, [3], runtime, desc="after")) == [9]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_task_that_hangs_in_the_background_is_an_error_too() -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from worldmodels.common import runtime\n"
        "from tests.test_runtime import hang\n"
        "list(runtime.run_tasks(hang, [1], runtime.RuntimeConfig(task_timeout=0.5), desc='hang'))"
    )
    done = run(ROOT, sys.executable, "-c", program)
    assert done.returncode == 1 and "WorkerError: hang: no answer" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_task_that_cannot_be_interrupted_ends_the_process() -> None:
    program = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "from worldmodels.common import runtime; runtime.GRACE = 0.5\n"
        "from tests.test_runtime import hang\n"
        "list(runtime.run_tasks(hang, [1], runtime.RuntimeConfig(task_timeout=0.5), desc='hang'))"
    )
    done = run(ROOT, sys.executable, "-c", program)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "error: a task does not end after runtime.task_timeout = 0.5 s"


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("cuda is here")
    with pytest.raises(ParamError, match=r"runtime\.device = 'cuda'.*accepted here: auto, cpu"):
        RuntimeConfig(device="cuda").torch_device()
    assert RuntimeConfig(device="auto").torch_device() == torch.device("cpu")


def test_ray_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    runtime = RuntimeConfig(backend="ray")
    missing = r"runtime\.backend = 'ray': Ray is not installed; accepted here: loky, threading; `uv sync --extra ray`"
    with pytest.raises(ParamError, match=missing):
        runtime.check()
    with pytest.raises(ParamError, match=missing):
        list(run_tasks(square, [1], runtime, desc="squares"))
    RuntimeConfig(backend="loky").check()


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"  # unused once the server is closed
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"RAY_ADDRESS = '{address}': no Ray cluster there; expected HOST:PORT"):
        RuntimeConfig(backend="ray").check()


FRAIL = """
import gymnasium as gym
from tests.environments import CountingState
class Frail(CountingState):
    def step(self, action):
        if self.count == 5 and self.np_random_seed > 1000:  # not in the rehearsal
            raise ValueError("the simulator broke")
        return super().step(action)
    def __del__(self):
        raise RuntimeError("it broke again")
gym.register("Frail-v0", "frail:Frail", max_episode_steps=50)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_wrong_is_the_last_thing_said(tmp_path, workers):
    (tmp_path / "frail.py").write_text(FRAIL)
    folder = checkout(tmp_path, "env.id=frail:Frail-v0", f"runtime.workers={workers}")
    for stage in ("code", "init"):
        assert run(folder, sys.executable, "-m", f"stages.{stage}").returncode == 0
    done = run(folder, sys.executable, "-m", "stages.collect", "r1", "r0")
    assert done.returncode == 1
    said = (
        r"error: env.id = 'frail:Frail-v0', seed \d+, step 5: step: it raised ValueError: the simulator broke \(frail"
    )
    assert re.match(said, done.stderr.splitlines()[-1])
    assert done.stderr.count("it broke again") <= workers * 8  # those before the failure
