import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldmodels.common.checkpoint import Scratch
from worldmodels.common.params import ParamError
from worldmodels.common.runtime import RuntimeConfig, WorkerError
from worldmodels.environment.collect import collect, mix
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.policy import BrownianPolicy, Policy, RandomPolicy
from worldmodels.environment.store import EpisodeStore

ENV = EnvConfig(id="tests.environments:CountingPixels-v0", kwargs={"jitter": 30})
CONFIG = CollectConfig(episodes_per_shard=3, envs_per_task=2)
SEEDS = list(range(100, 111))
ROOT = Path(__file__).parents[2]


class Slow(RandomPolicy):
    """Slow enough to be killed during an episode."""

    def __init__(self, spec, pause=0.0):
        super().__init__(spec)
        self.pause = pause

    def act(self, obs, slots):
        time.sleep(self.pause)
        return super().act(obs, slots)


class Deadly(RandomPolicy):
    def act(self, obs, slots):
        os.kill(os.getpid(), signal.SIGKILL)
        return super().act(obs, slots)


def run(root: Path, workers: int = 1, player: Policy | None = None, **settings):
    spec = spec_of(ENV)
    policies = mix([player or RandomPolicy(spec), BrownianPolicy(spec)], [0.6, 0.4], len(SEEDS), seed=0)
    runtime = RuntimeConfig(workers=workers)
    keys = {"runtime": runtime, "folder": root / "r1", "previous": None, "scratch": Scratch(root, "c", "f")} | settings
    return collect(ENV, CONFIG, policies, SEEDS, **keys)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference")
    run(root)
    return contents(root / "r1")


def test_a_round_has_every_seed_once_played_by_its_policy(tmp_path):
    manifest = run(tmp_path)
    episodes = list(EpisodeStore.open(tmp_path / "r1").episodes())
    assert sorted(episode.seed for episode in episodes) == SEEDS
    assert manifest["episodes"] == 11 and [shard["episodes"] for shard in manifest["shards"]] == [3, 3, 3, 2]
    assert manifest["policies"] == {"brownian": 4, "uniform": 7} and manifest["round"] == "r1"
    policies = [RandomPolicy(spec_of(ENV)), BrownianPolicy(spec_of(ENV))]
    names = [policy.name for policy in mix(policies, [0.6, 0.4], len(SEEDS), seed=0)]
    assert {episode.seed: episode.policy for episode in episodes} == dict(zip(SEEDS, names, strict=True))


@pytest.mark.parametrize("settings", [{"workers": 2}, {"runtime": RuntimeConfig(workers=3, backend="threading")}])
def test_bytes_do_not_depend_on_the_workers(tmp_path, reference, settings):
    run(tmp_path, **settings)
    assert contents(tmp_path / "r1") == reference


@pytest.mark.slow
def test_killed_for_real_it_goes_on_to_the_same_bytes(tmp_path, reference):
    player = "Slow(spec_of(ENV), pause=0.05)"
    code = f"from tests.environment.test_collect import *; run(Path({str(tmp_path)!r}), player={player})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    shards = Scratch(tmp_path, "c", "f").folder / "shards"
    deadline = time.monotonic() + 60
    while not list(shards.glob("shard-*.h5")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_ino for path in shards.glob("shard-*.h5")}
    assert 1 <= len(kept) < 4 and not (tmp_path / "r1").exists()
    (shards / ".shard-00003-half.h5").write_bytes(b"as a kill leaves it")
    run(tmp_path)
    assert contents(tmp_path / "r1") == reference
    for name, inode in kept.items():  # complete shards were not collected again
        assert (tmp_path / "r1" / name).stat().st_ino == inode


def test_a_dead_worker_is_an_error_and_no_round(tmp_path):
    with pytest.raises(WorkerError, match="collect r1: a worker process died"):
        run(tmp_path, workers=2, player=Deadly(spec_of(ENV)))
    assert not (tmp_path / "r1").exists()


def test_a_round_replaces_what_was_there(tmp_path, reference):
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "shard-00099.h5").write_bytes(b"stale")
    run(tmp_path)
    assert contents(tmp_path / "r1") == reference


def test_a_round_without_data_begins_the_chain(tmp_path):
    keys = {"runtime": RuntimeConfig(workers=1), "scratch": Scratch(tmp_path, "c", "f")}
    first = collect(ENV, CONFIG, [], [], folder=tmp_path / "r0", previous=None, **keys)
    assert (first["episodes"], first["returns"], first["shards"]) == (0, None, [])
    run(tmp_path, previous=tmp_path / "r0")
    assert len(EpisodeStore.open_all(tmp_path / "r1")) == 11


def test_collected_episodes_are_capped(tmp_path):
    policies = [RandomPolicy(spec_of(ENV))] * 2
    config = CollectConfig(max_steps=5)
    keys = {"runtime": RuntimeConfig(workers=1), "scratch": Scratch(tmp_path, "c", "f"), "previous": None}
    assert collect(ENV, config, policies, [1, 2], folder=tmp_path / "r1", **keys)["steps"] == 10


def test_nothing_is_written_for_an_environment_that_is_not(tmp_path):
    keys = {"runtime": RuntimeConfig(workers=1), "scratch": Scratch(tmp_path, "c", "f"), "previous": None}
    with pytest.raises(ParamError, match="no such environment"):
        collect(EnvConfig(id="Nowhere-v0"), CONFIG, [], [], folder=tmp_path / "r1", **keys)
    assert list(tmp_path.iterdir()) == []


def test_mix_deals_each_policy_its_share():
    policies = [RandomPolicy(spec_of(ENV)) for _ in range(3)]
    mixed = mix(policies, [0.1, 0.3, 0.6], 50, seed=7)
    assert [sum(player is policy for player in mixed) for policy in policies] == [5, 15, 30]
    assert mixed == mix(policies, [0.1, 0.3, 0.6], 50, seed=7) != mix(policies, [0.1, 0.3, 0.6], 50, seed=8)
    assert len(mix(policies, [1 / 3] * 3, 50, seed=0)) == 50
