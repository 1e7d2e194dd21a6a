"""Tests that no process outlives the one it works for, and that a reader who leaves is no error."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from worldmodels.common.orphans import ancestor

ROOT = Path(__file__).parents[1]
WORK = """
import os, time
from worldmodels.common.runtime import RuntimeConfig, run_tasks
from tests.test_orphans import report
list(run_tasks(report, [0, 1], RuntimeConfig(workers=2), desc="work"))
"""
STAGE = """
import time
from worldmodels.common.orphans import ancestor, end_with
end_with(ancestor("dvc"))
print("here", flush=True)
time.sleep(600)
"""


def report(_: int) -> None:
    """Say who works here, and work for ten minutes."""
    os.write(1, f"{os.getpid()}\n".encode())
    time.sleep(600)


def gone(pids: list[int], within: float) -> bool:
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=within)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_workers_end_with_the_stage_that_they_work_for() -> None:
    stage = subprocess.Popen([sys.executable, "-c", WORK], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert stage.stdout is not None
    workers = [int(stage.stdout.readline()) for _ in range(2)]
    assert stage.pid not in workers and all(psutil.pid_exists(pid) for pid in workers)
    stage.kill()
    stage.wait()
    assert gone(workers, 10)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a shell between the two")
def test_a_stage_ends_with_the_dvc_that_runs_it(tmp_path: Path) -> None:
    program = tmp_path / "dvc"
    shell = [sys.executable, "-c", STAGE]
    program.write_text(f"import subprocess; subprocess.run({shell!r}, cwd={str(ROOT)!r})\n")
    dvc = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert dvc.stdout is not None and dvc.stdout.readline() == "here\n"
    stages = [process.pid for process in psutil.Process(dvc.pid).children()]
    assert len(stages) == 1
    dvc.terminate()
    dvc.wait()
    assert gone(stages, 10)


def test_without_dvc_nothing_is_watched() -> None:
    assert ancestor("no-such-program") is None


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_who_has_read_enough_is_no_error() -> None:
    program = (
        "from worldmodels.common.errors import one_line_errors\nwith one_line_errors():\n    print('a\\n' * 100_000)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stderr is not None
    assert writer.stdout.readline() == "a\n"
    writer.stdout.close()
    assert writer.stderr.read() == "" and writer.wait() == 141


def test_another_pipe_that_breaks_is_an_error() -> None:
    program = (
        "from worldmodels.common.errors import one_line_errors\n"
        "with one_line_errors(): raise BrokenPipeError(32, 'the simulator is gone')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith("the simulator is gone")
