"""Twenty times the data, episodes of one step, frames of 4K: is memory flat, and does the run end?

    uv run python -m tests.faults.load

Memory is the most that a stage and its workers held at once that the system cannot drop (RssAnon and RssShmem of Linux,
looked at every 50 ms). The stages that read or write data run with a number of episodes and with twenty times as many.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gymnasium as gym
import numpy as np
import psutil
from omegaconf import OmegaConf

from tests.environments import CountingPixels
from tests.faults.outcomes import HANGS_AFTER, Outcome, Verdict, attempt, failed, program, report, table
from tests.test_conf import composed
from tests.test_pipeline import checkout, environ

TIMES = 20
FLAT = 1.1  # of what the stage holds with a twentieth of the data
STAGES = ("collect", "vae", "encode", "mdnrnn")
MOST = ("vae.max_updates=200", "mdnrnn.max_updates=200", "runtime.workers=2", "run.rounds=1")
LOADS = {  # parameters, and a number of episodes: quick's of all rounds, and of 100 steps
    "states, LunarLander": (("env=lunarlander",), 340),
    "pictures, CarRacing at low cost": (("env=carracing_lowcost",), 240),  # fill what probe and shuffling may hold
}
ODD = {
    "10,000 episodes of one step": (
        "env.id=tests.environments:CountingState-v0",
        "+env.kwargs.length=1",
        "collect.random_episodes=10000",
        "collect.episodes_per_shard=500",
    ),
    "frames of 4K": ("env.id=tests.faults.load:Cinema-v0",),
}


class Cinema(CountingPixels):
    """As CountingPixels, of the size of a cinema's picture."""

    observation_space = gym.spaces.Box(0, 255, (2160, 3840, 3), np.uint8)

    def _observe(self) -> np.ndarray:
        return np.full((2160, 3840, 3), self.count % 256, np.uint8)


gym.register("Cinema-v0", f"{__name__}:Cinema", max_episode_steps=10)


def flat(root: Path, what: str) -> Iterator[tuple[str, float, float, bool]]:
    """Of each stage: its name, the memory in MiB with the data and with twenty times as much, and whether it ended."""
    overrides, episodes = LOADS[what]
    peaks: list[dict[str, tuple[float, bool]]] = []
    for times in (1, TIMES):
        params = composed(*overrides, *MOST, f"collect.random_episodes={episodes * times}")
        folder = checkout(root / f"{what.split()[0]}{times}")
        OmegaConf.save(OmegaConf.create(params), folder / "params.yaml")
        for name in ("code", "init"):
            assert not attempt(folder, *program(f"stages.{name}")).returncode
        peaks.append({name: _peak(folder, program(f"stages.{name}", "r1", "r0")) for name in STAGES})
    for name in STAGES:
        (once, _), (often, ended) = peaks[0][name], peaks[1][name]
        yield name, once, often, ended


def _peak(folder: Path, command: list[str]) -> tuple[float, bool]:
    """The most memory that a command and its children held, in MiB; whether it succeeded."""
    process = psutil.Popen(command, cwd=folder, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, deadline = 0.0, time.monotonic() + HANGS_AFTER
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            alive = [process, *process.children(recursive=True)]
            peak = max(peak, sum(_held(one.pid) for one in alive))
        time.sleep(0.05)
    if process.poll() is None:
        process.kill()
    return peak, process.wait() == 0


def _held(pid: int) -> float:
    """MiB of a process that the system cannot drop."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    status = dict(line.split(":", 1) for line in lines)
    return sum(int(status.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem")) / 1024


def tried(root: Path) -> Iterator[Outcome]:
    """A stage that holds more with more data has lost; a run of odd data has to end."""
    for what in LOADS:
        for name, once, often, ended in flat(root, what):
            verdict = Verdict.SURVIVED if ended and often <= FLAT * once else Verdict.LOST
            yield Outcome(f"{what}: {name}", f"{TIMES} × the data", verdict, f"{once:.0f} MiB, then {often:.0f} MiB")
    for what, overrides in ODD.items():
        folder = checkout(root / what.split()[0], "run.rounds=1", "evaluate.videos=1", *overrides)
        begun = time.monotonic()
        done = attempt(folder, "dvc", "repro")
        verdict = Verdict.LOST if done.returncode else Verdict.SURVIVED
        said = done.stderr[-500:] if done.returncode else f"{time.monotonic() - begun:.0f} s"
        yield Outcome(what, "a whole run", verdict, said)


def main() -> int:
    with tempfile.TemporaryDirectory() as root:
        outcomes = list(tried(Path(root)))
    print(table([["what", "fault", "verdict", "seen"], *([o.kind, o.fault, o.verdict, o.said] for o in outcomes)]))
    print(report(outcomes))
    return failed(outcomes)


if __name__ == "__main__":
    sys.exit(main())
