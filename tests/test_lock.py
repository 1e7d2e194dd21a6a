"""Tests that what DVC was writing when it was killed is mended."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.common import lock

ROOT = Path(__file__).parents[1]
HALF = "schema: '2.0'\nstages:\n  code:\n    cmd: python -m stages.code\n    outs:\n    - pa"
DVC = f"""
import os, pathlib, sys, time
sys.path.insert(0, {str(ROOT)!r})
os.environ["PYTHONPATH"] = sys.path[0]
from stages.common import lock
lock.keep()
lock.guard(os.getpid())
pathlib.Path("dvc.lock").write_text({HALF!r})
print("writing", flush=True)
time.sleep(600)
"""


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A folder with the project's dvc.lock in it, which is the folder to work in."""
    monkeypatch.chdir(tmp_path)
    content = (ROOT / "dvc.lock").read_bytes()
    Path("dvc.lock").write_bytes(content)
    return content


def test_a_dvc_that_is_killed_while_it_writes_dvc_lock_leaves_it_as_it_was(whole: bytes) -> None:
    dvc = subprocess.Popen([sys.executable, "-c", DVC], stdout=subprocess.PIPE, text=True)
    assert dvc.stdout is not None and dvc.stdout.readline() == "writing\n"
    assert Path("dvc.lock").read_bytes() != whole
    dvc.kill()
    dvc.wait()
    deadline = time.monotonic() + 30
    while Path("dvc.lock").read_bytes() != whole:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_part_of_dvc_lock_is_not_whole(whole: bytes, share: float) -> None:
    lock.keep()
    Path("dvc.lock").write_bytes(whole[: int(share * len(whole))])
    assert not lock.is_whole()
    lock.mend()
    assert Path("dvc.lock").read_bytes() == whole


def test_what_dvc_added_since_the_copy_stays(whole: bytes) -> None:
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    lock.keep()
    Path("dvc.lock").write_bytes(whole)
    lock.mend()
    assert Path("dvc.lock").read_bytes() == whole


@pytest.mark.usefixtures("whole")
def test_where_there_was_none_a_part_is_removed() -> None:
    Path("dvc.lock").unlink()
    lock.keep()
    Path("dvc.lock").write_text(HALF)
    lock.mend()
    assert not Path("dvc.lock").exists()


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(
    ("content", "stays"), [('{"write": {}, "read": {}}', True), ("", False), ('{"write": {', False)]
)
def test_a_part_of_dvc_s_list_of_users_is_removed(content: str, *, stays: bool) -> None:
    lock.USERS.parent.mkdir(parents=True)
    lock.USERS.write_text(content)
    lock.mend()
    assert lock.USERS.exists() == stays
