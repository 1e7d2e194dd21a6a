"""Remotes: pushed, interrupted, cloned, incomplete, damaged; experiments passed on through a bare git repository.

    uv run python -m tests.faults.remotes
    uv run --with "dvc[s3]" --with "moto[server]" python -m tests.faults.remotes --s3

The remote is a folder, or a bucket of an S3 server on this machine. A tiny pipeline is run and pushed, and clones of it
are given what the remote has: nothing may be computed again, and nothing that is missing or damaged may be taken.
"""

import argparse
import hashlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.faults.kills import outputs
from tests.test_pipeline import checkout, environ, ran, repro, run

PARAMS = ["env.id=CartPole-v1", "run.rounds=1"]
NAMED = "models/mdnrnn/r1"  # what is taken from the remote, or damaged there
GIT = ("-c", "user.name=test", "-c", "user.email=test@example.org")


class Remote(Protocol):
    """Where a project's data are pushed to."""

    settings: dict[str, str]  # of DVC's remote, ``url`` among them

    def names(self) -> list[str]:
        """Of all objects."""
        ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None: ...

    def delete(self, name: str) -> None: ...


class FolderRemote:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, {"url": str(folder), "verify": "true"}

    def names(self) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # DVC's objects are read-only
        path.write_bytes(content)

    def delete(self, name: str) -> None:
        (self.folder / name).unlink()


class BucketRemote:
    """A bucket of the S3 server at ``endpoint``."""

    BUCKET = "worldmodels"

    def __init__(self, endpoint: str) -> None:
        import boto3  # pyright: ignore[reportMissingImports]  # of dvc[s3]

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self._s3: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        self._s3.create_bucket(Bucket=self.BUCKET)
        keys = {"access_key_id": "test", "secret_access_key": "test"}
        self.settings = {"url": f"s3://{self.BUCKET}/dvc", "verify": "true"}
        self.settings |= {"endpointurl": endpoint, "region": "us-east-1", **keys}

    def names(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.BUCKET)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, name: str) -> bytes:
        return self._s3.get_object(Bucket=self.BUCKET, Key=name)["Body"].read()

    def write(self, name: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self.BUCKET, Key=name, Body=content)

    def delete(self, name: str) -> None:
        self._s3.delete_object(Bucket=self.BUCKET, Key=name)


@contextmanager
def s3_server() -> Iterator[str]:
    """Moto's S3 server on loopback; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def trials(remote: Remote, root: Path) -> Iterator[tuple[str, str, bool]]:
    """What was tried, what was seen, and whether it was right."""
    whole = checkout(root / "whole", *PARAMS)
    repro(whole)
    wanted = outputs(whole)
    _done(whole, "dvc", "remote", "add", "-q", "-f", "-d", "test", remote.settings["url"])
    for name, value in remote.settings.items():
        _done(whole, "dvc", "remote", "modify", "-q", "test", name, value)
    _done(whole, "git", "add", "-A")  # the metrics lie in git
    _done(whole, "git", *GIT, "commit", "-qm", "Run")

    yield _interrupted(remote, whole)
    again = run(whole, "dvc", "push")
    stored = len(remote.names())
    yield "the same push again", f"exit code {again.returncode}, {stored} objects", again.returncode == 0

    clone = _clone(whole, root / "clone")
    done = run(clone, "dvc", "repro", "--pull")
    right = done.returncode == 0 and ran(done.stdout) == ["code"] and outputs(clone) == wanted
    yield "a clone: `dvc repro --pull`", f"ran {', '.join(ran(done.stdout))}; {_compared(clone, wanted)}", right

    name = _object_of(whole, NAMED, remote)
    content = remote.read(name)
    remote.delete(name)
    told = run(_clone(whole, root / "incomplete"), "dvc", "pull")
    named = "".join(name.split("/")[-2:]) in told.stderr
    yield "a clone, an object missing: `dvc pull`", _said(told), told.returncode != 0 and named

    remote.write(name, content[:-1] + bytes([content[-1] ^ 1]))
    damaged = _clone(whole, root / "damaged")
    told = run(damaged, "dvc", "pull")
    yield "a clone, an object damaged: `dvc pull`", _said(told), told.returncode != 0
    again = run(damaged, "dvc", "repro", "--pull")
    right = again.returncode == 0 and outputs(damaged) == wanted
    seen = f"ran {', '.join(ran(again.stdout))}; {_compared(damaged, wanted)}"
    yield "there `dvc repro --pull`", seen, right
    remote.write(name, content)

    yield from _passed_on(whole, root)


def _interrupted(remote: Remote, whole: Path) -> tuple[str, str, bool]:
    """A push that is killed when the first objects have arrived."""
    push = subprocess.Popen(
        ("dvc", "push"), cwd=whole, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while push.poll() is None and not remote.names():
        time.sleep(0.01)
    push.kill()
    push.wait()
    return "a push killed at its first object", f"{len(remote.names())} objects", push.returncode != 0


def _passed_on(whole: Path, root: Path) -> Iterator[tuple[str, str, bool]]:
    """An experiment, from one clone of a bare repository to another."""
    bare = root / "bare.git"
    _done(root, "git", "init", "-q", "--bare", str(bare))
    _done(whole, "git", "remote", "add", "origin", str(bare))
    _done(whole, "git", "push", "-q", "origin", "HEAD:main")
    _done(root, "git", "-C", str(bare), "symbolic-ref", "HEAD", "refs/heads/main")
    _done(whole, "dvc", "exp", "run", "-n", "more-games", "-S", "evaluate.episodes=4")
    score = (whole / "results/evaluate/metrics.json").read_bytes()
    pushed = run(whole, "dvc", "exp", "push", "origin", "more-games")
    yield "`dvc exp push`", _said(pushed), pushed.returncode == 0
    clone = _clone(bare, root / "colleague")
    pulled = run(clone, "dvc", "exp", "pull", "origin", "more-games")
    applied = run(clone, "dvc", "exp", "apply", "more-games")
    same = (clone / "results/evaluate/metrics.json").read_bytes() == score and all(
        (clone / path).exists() for path in outputs(whole)
    )
    right = pulled.returncode == applied.returncode == 0 and same
    yield "`dvc exp pull`, `apply` elsewhere", "the same score and files" if same else _said(applied), right


def _object_of(whole: Path, out: str, remote: Remote) -> str:
    """The remote's object that holds the weights of ``out``."""
    file = next((whole / out).glob("*.safetensors"))
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    return next(name for name in remote.names() if name.endswith(f"{md5[:2]}/{md5[2:]}"))


def _clone(source: Path, target: Path) -> Path:
    _done(source.parent, "git", "clone", "-q", str(source), str(target))
    return target


def _done(folder: Path, *command: str) -> None:
    done = run(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"exit code {done.returncode}: {' '.join(lines[-3:])[:300]}"


def _compared(folder: Path, wanted: dict[str, str]) -> str:
    return "the same outputs" if outputs(folder) == wanted else "other outputs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--s3", action="store_true", help="a bucket instead of a folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if options.s3:
            with s3_server() as endpoint:
                rows = list(trials(BucketRemote(endpoint), root))
        else:
            rows = list(trials(FolderRemote(root / "remote"), root))
    print("| tried | seen | |", "| --- | --- | --- |", sep="\n")
    print("\n".join(f"| {what} | {seen} | {'right' if right else 'WRONG'} |" for what, seen, right in rows))
    return min(sum(not right for *_, right in rows), 1)


if __name__ == "__main__":
    sys.exit(main())
