"""Tests on a cluster of two nodes on this machine, one CPU each, so that two concurrent tasks are on two nodes."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.control.agents import STATE, new_agent, new_controller
from tests.control.test_fitness import dream_fitness, real_fitness, solutions
from tests.environment.test_collect import ENV, contents
from tests.environment.test_collect import run as run_collect
from tests.test_runtime import die, hang, square
from worldmodels.common.cluster import _remote
from worldmodels.common.params import ParamError
from worldmodels.common.runtime import RuntimeConfig, WorkerError, run_tasks
from worldmodels.common.seeding import Role
from worldmodels.control.evaluate import evaluate_policy
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import RandomPolicy

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters of several nodes on Linux only"),
]

RAY = RuntimeConfig(backend="ray", task_timeout=120.0)
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from ray.cluster_utils import Cluster

    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 10}
    head: dict[str, Any] = {**NODE, "include_dashboard": False, "_system_config": quick}
    nodes = Cluster()
    try:
        with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):  # as for a cluster's workers
            nodes.add_node(**head)
            nodes.add_node(**NODE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_ADDRESS", str(nodes.address))
            yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def this_node() -> str:
    return ray.get_runtime_context().get_node_id()


def wait_for(happened) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def meet(folder: Path, x: int) -> tuple[int, int, str]:
    """Return once it has been called on two nodes."""
    (folder / this_node()).touch()
    wait_for(lambda: len(list(folder.iterdir())) == 2)
    return square(x), torch.get_num_threads(), this_node()


def span(_: int) -> tuple[float, float]:
    start = time.monotonic()
    time.sleep(0.2)
    return start, time.monotonic()


def refuse(x: int) -> int:
    raise ParamError("what, where, and what is accepted")


class Shared:
    """Counts how often it is pickled."""

    pickled = 0

    def __reduce__(self):
        Shared.pickled += 1
        return Shared, ()


def add(shared: Shared, x: int) -> int:
    return x + isinstance(shared, Shared)


class Stranded(RandomPolicy):
    """Never returns on one node; on others it waits until it has been called there."""

    def __init__(self, spec, node: str, folder: Path):
        super().__init__(spec)
        self.node, self.folder = node, folder

    def begin(self, seeds):
        super().begin(seeds)
        if this_node() == self.node:
            (self.folder / "stranded").touch()
            time.sleep(600)
        wait_for((self.folder / "stranded").exists)


def test_tasks_run_on_both_nodes_with_one_thread_each_and_come_back_in_order(cluster, tmp_path):
    squares, threads, nodes = zip(*run_tasks(partial(meet, tmp_path), range(20), RAY, desc="meet"), strict=True)
    assert squares == tuple(x * x for x in range(20))
    assert set(threads) == {1}
    assert set(nodes) == {node.node_id for node in cluster.list_all_nodes()}


def test_no_more_tasks_run_at_a_time_than_there_are_workers(cluster, tmp_path):
    list(run_tasks(partial(meet, tmp_path), range(2), RAY, desc="both nodes are ready"))
    spans = sorted(run_tasks(span, range(8), replace(RAY, workers=1), desc="spans"))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_what_tasks_share_is_sent_once(cluster):
    Shared.pickled = 0
    assert list(run_tasks(partial(add, Shared()), range(20), RAY, desc="add")) == list(range(1, 21))
    assert Shared.pickled == 1


@pytest.mark.parametrize("make", [dream_fitness, real_fitness])
def test_scores_are_those_of_this_machine_alone(cluster, make):
    here = make(2)
    ours, theirs = (fitness(solutions(5), 4, Role.FITNESS, 3) for fitness in (here, replace(here, runtime=RAY)))
    assert ours.returns.tobytes() == theirs.returns.tobytes() and ours.lengths.tobytes() == theirs.lengths.tobytes()


def test_an_evaluation_is_that_of_this_machine_alone(cluster):
    agent = new_agent(STATE, new_controller(STATE))
    ours, theirs = (
        evaluate_policy(STATE, agent, range(7), runtime, episodes_per_task=3)
        for runtime in (RuntimeConfig(workers=1), RAY)
    )
    assert ours.returns.tobytes() == theirs.returns.tobytes() and ours.lengths.tobytes() == theirs.lengths.tobytes()


def test_a_round_is_the_same_though_a_node_is_lost_in_the_middle(cluster, tmp_path):
    run_collect(tmp_path / "ours")
    doomed = next(iter(cluster.worker_nodes))

    def kill():
        wait_for((tmp_path / "stranded").exists)
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        player = Stranded(spec_of(ENV), doomed.node_id, tmp_path)
        run_collect(Path(os.path.relpath(tmp_path / "theirs")), runtime=RAY, player=player)
    finally:
        killer.join()
        cluster.add_node(**NODE)
    assert contents(tmp_path / "theirs" / "r1") == contents(tmp_path / "ours" / "r1")


def test_an_exception_comes_back_as_it_was_raised(cluster):
    with pytest.raises(ParamError) as caught:
        list(run_tasks(refuse, range(4), RAY, desc="refuse"))
    assert type(caught.value) is ParamError
    assert str(caught.value) == "what, where, and what is accepted"


def test_a_worker_that_dies_each_time_is_an_error(cluster, monkeypatch):
    monkeypatch.setattr("worldmodels.common.cluster.RETRIES", 1)  # each retry takes seconds
    _remote.cache_clear()
    with pytest.raises(WorkerError, match=r"die: a worker process died \(WorkerCrashedError"):
        list(run_tasks(die, range(4), RAY, desc="die"))
    _remote.cache_clear()


def test_a_worker_that_hangs_is_an_error_and_its_node_is_free_again(cluster, tmp_path):
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"hang: no answer.*task_timeout = 2 s"):
        list(run_tasks(hang, range(4), replace(RAY, task_timeout=2.0), desc="hang"))
    list(run_tasks(partial(meet, tmp_path), range(2), RAY, desc="after"))
    assert time.monotonic() - started < 300


@pytest.mark.parametrize("joined", [True, False], ids=["a cluster that is there", "one of its own"])
def test_workers_import_the_code_of_the_folder_they_are_called_from(cluster, tmp_path, joined):
    shutil.copytree(ROOT / "worldmodels", tmp_path / "worldmodels", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "program.py").write_text(
        "import worldmodels\n"
        "from worldmodels.common.runtime import RuntimeConfig, run_tasks\n"
        "def where(_): return worldmodels.__file__\n"
        "if __name__ == '__main__':\n"
        "    from program import where\n"
        "    print(*run_tasks(where, [0], RuntimeConfig(backend='ray', workers=1), desc='where'))\n"
    )
    environment = {name: value for name, value in os.environ.items() if joined or name != "RAY_ADDRESS"}
    if not joined:
        environment["HOME"] = str(tmp_path)  # for the token that Ray creates for a new cluster
    done = subprocess.run(
        [sys.executable, "-m", "program"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path / 'worldmodels' / '__init__.py'}\n" and done.stderr == ""
