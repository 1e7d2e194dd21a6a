"""Tests that what DVC was writing when it was killed is mended."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.common.lock import Guard, is_part

ROOT = Path(__file__).parents[1]
HALF = "schema: '2.0'\nstages:\n  code:\n    cmd: python -m stages.code\n    outs:\n    - pa"
DVC = f"""
import os, pathlib, sys, time
sys.path.insert(0, {str(ROOT)!r})
os.environ["PYTHONPATH"] = sys.path[0]
from stages.common import lock
lock.guard(os.getpid())
time.sleep(3)  # the guard has begun
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


def now(guarded: Guard) -> Guard:
    """The guard, a while later."""
    guarded.look()
    guarded._since -= 10
    guarded.look()
    return guarded


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


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95, 0.97])
def test_a_part_of_dvc_lock_is_mended(whole: bytes, share: float) -> None:
    guarded = Guard(Path())
    Path("dvc.lock").write_bytes(whole[: int(share * len(whole))])
    guarded.mend()
    assert Path("dvc.lock").read_bytes() == whole


def test_a_part_that_ends_between_two_stages_is_one(whole: bytes) -> None:
    end = whole.index(b"  vae@r2:")
    changed = whole.replace(b"nfiles: 3", b"nfiles: 4", 1)
    assert is_part(changed[:end], whole) and not is_part(changed, whole)


def test_what_is_another_lock_stays(whole: bytes) -> None:
    guarded = Guard(Path())
    other = whole[: whole.index(b"  vae@r2:")].replace(b"md5: ", b"md5: 0")  # of a branch with fewer stages
    assert not is_part(whole + b"  new:\n    cmd: python\n", whole)
    assert is_part(b"schema: '2.0'\n", whole)
    Path("dvc.lock").write_bytes(other)
    guarded.mend()
    assert Path("dvc.lock").read_bytes() == other


def test_what_dvc_has_written_since_is_what_is_put_back(whole: bytes) -> None:
    first = whole[: whole.index(b"  vae@r2:")]
    Path("dvc.lock").write_bytes(first)
    guarded = Guard(Path())
    Path("dvc.lock").write_bytes(whole)
    now(guarded)
    Path("dvc.lock").write_bytes(whole[:100])
    guarded.mend()
    assert Path("dvc.lock").read_bytes() == whole


@pytest.mark.usefixtures("whole")
def test_where_there_was_none_a_part_is_removed() -> None:
    Path("dvc.lock").unlink()
    guarded = Guard(Path())
    Path("dvc.lock").write_text(HALF)
    guarded.mend()
    assert not Path("dvc.lock").exists()


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(("content", "stays"), [('{"write": {}}', True), ("", False), ('{"write": {', False)])
def test_a_part_of_dvc_s_list_of_users_is_removed(content: str, *, stays: bool) -> None:
    users = Path(".dvc/tmp/rwlock")
    users.parent.mkdir(parents=True)
    users.write_text(content)
    Guard(Path()).mend()
    assert users.exists() == stays
