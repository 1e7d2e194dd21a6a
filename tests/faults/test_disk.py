"""Tests that a stage which can write no more says so in one line, leaves nothing half written, and goes on later."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.damage import MADE, prepared
from tests.test_pipeline import environ

STAGES = {"stages.collect": ("r1", "r0"), "stages.encode": ("r1", "r0"), "stages.mdnrnn": ("r1", "r0")}
OUTS = {**MADE, "stages.collect": "data/episodes/r1"}
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of a file")
def test_a_disk_that_takes_no_more_is_told_in_a_line_and_nothing_is_half_written(tmp_path: Path) -> None:
    folder = prepared(tmp_path)

    def ran(limit: int, stage: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, str(limit), stage, *STAGES[stage]]
        return subprocess.run(command, cwd=folder, env=environ(), capture_output=True, text=True, timeout=300)

    for stage in STAGES:
        out = folder / OUTS[stage]
        whole = contents(out)
        for limit in (100, 1000):
            done = ran(limit, stage)
            errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
            assert done.returncode == 1 and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
            assert "the same command goes on" in errors[0]
            assert contents(out) == whole
            assert not list(out.parent.glob(".*-partial"))
            if stage != "stages.mdnrnn":  # there it is the database of dvclive that does not say where it lies
                assert any(name in errors[0] for name in (out.name, ".scratch"))
        assert ran(1 << 30, stage).returncode == 0
        assert contents(out) == whole
