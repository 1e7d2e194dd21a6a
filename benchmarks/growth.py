"""Benchmark of time and peak memory against size: ten times the data, candidates, rollouts or units.

    python -m benchmarks.growth [--figure docs/growth.png] [--json FILE] [NAME …]

Every point runs in its own process, so that its peak memory is measured separately.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks import paper
from benchmarks.measure import matrix_products, psutil, rate
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import product_dtype
from worldmodels.common.params import Precision
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.common.seeding import Role, env_seeds
from worldmodels.control.cmaes import CMAES
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamStart, Noise
from worldmodels.environment.collect import collect
from worldmodels.environment.config import CollectConfig, EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.environment.frames import FrameLoader
from worldmodels.environment.manifest import write_manifest
from worldmodels.environment.policy import RandomPolicy
from worldmodels.environment.rollout import score
from worldmodels.environment.shard import write_shard
from worldmodels.environment.spec import EnvSpec
from worldmodels.environment.store import EpisodeStore
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.train import train_memory
from worldmodels.records import Episode
from worldmodels.vision.config import EncodeConfig, VAEConfig
from worldmodels.vision.encode import encode_episodes
from worldmodels.vision.train import train_vision
from worldmodels.vision.vae import VAE

CPU = torch.device("cpu")
FRAMES = EnvSpec(id="x", observation="pixel", obs_shape=(64, 64, 3), action="discrete", action_dim=paper.A)
LANDER = EnvConfig(id="LunarLander-v3")
PRODUCTS, DRAWN = "matrix products alone", "normal numbers drawn"
EPISODE = 100  # steps of an episode of synthetic frames

Prepared = tuple[Callable[[], Any], Callable[[], float]]
"""The work, and what gives its least time in seconds."""


class Curve(NamedTuple):
    """A quantity that grows from ``sizes[0]`` to ten times as much, and the stage whose cost depends on it."""

    title: str
    size: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Prepared]
    limit: str


def collecting(steps: int, folder: Path) -> Prepared:
    seeds = env_seeds(Role.COLLECT, max(1, steps // 100))
    config = CollectConfig(max_steps=100, episodes_per_shard=100, envs_per_task=25)
    policy = RandomPolicy(spec_of(LANDER))
    options: dict[str, Any] = {"runtime": RuntimeConfig(workers=1), "folder": folder / "r1", "previous": None}
    scratch = Scratch(folder, "collect", "growth")

    def least() -> float:
        started = time.perf_counter()
        score(LANDER, policy, seeds[:100], 100)
        return (time.perf_counter() - started) * len(seeds) / 100

    return lambda: collect(LANDER, config, [policy] * len(seeds), seeds, scratch=scratch, **options), least


def loading(frames: int, folder: Path) -> Prepared:
    loader = FrameLoader(recorded(frames, folder))
    copied = paper.frames(2000)

    def least() -> float:
        order = np.random.default_rng(0).permutation(len(copied))
        return frames / rate(lambda: float(len(copied[order])))

    return lambda: sum(len(batch) for batch in loader.train_batches(0)), least


def seeing(frames: int, folder: Path) -> Prepared:
    loader = FrameLoader(recorded(frames, folder))
    options: dict[str, Any] = {"scratch": Scratch(folder, "vae", "growth"), "log": lambda *_: None, "device": CPU}
    config = VAEConfig(epochs=1)
    return lambda: train_vision(loader, config, seed=0, **options), products(frames * paper.VAE_TRAINING_FLOP, "auto")


def encoding(frames: int, folder: Path) -> Prepared:
    store, vae = recorded(frames, folder), VAE(VAEConfig()).eval()
    options: dict[str, Any] = {"spec": FRAMES.to_dict(), "source": "", "device": CPU, "folder": folder / "latents"}

    def work() -> None:
        encode_episodes(vae, store.episodes(), EncodeConfig(), encode_action=FRAMES.encode_action, **options)

    return work, products(frames * paper.ENCODER_FLOP, "auto")


def remembering(steps: int, folder: Path) -> Prepared:
    store = paper.latents(folder / "latents", steps // 256, 256)
    config = MDNRNNConfig(epochs=1, batch_size=32)
    options: dict[str, Any] = {"scratch": Scratch(folder, "mdnrnn", "growth"), "log": lambda *_: None, "device": CPU}
    return lambda: train_memory(store, config, seed=0, **options), products(steps * paper.MEMORY_TRAINING_FLOP)


def dreaming(*, popsize: int = 64, rollouts: int = 16, hidden: int = paper.D) -> Prepared:
    horizon = 40
    config = DreamConfig(horizon=horizon, end_on_leaving=False, max_batch=512)
    dream = Dream(paper.memory(hidden_dim=hidden), None, config, features="z")
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(rollouts, paper.Z, generator=generator)
    start = DreamStart(z, dream.memory.initial_state(rollouts))

    def still(rows: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(rows), features.shape[1], paper.A)

    def work() -> None:
        dream.run(still, torch.zeros(popsize, 1), start, Noise.draw((horizon, rollouts), paper.Z, generator))

    flop = 2 * ((paper.Z + paper.A + hidden) * 4 * hidden + hidden * 3 * paper.K * paper.Z)
    return work, products(popsize * rollouts * horizon * flop)


def searching(parameters: int, covariance: Literal["full", "diagonal"]) -> Prepared:
    search = CMAES(np.zeros(parameters), 0.1, paper.POPSIZE, np.random.default_rng(0), covariance)

    def work() -> None:
        for _ in range(5):
            solutions = search.ask()
            search.tell(solutions, solutions.sum(axis=1))

    def least() -> float:
        started = time.perf_counter()
        np.random.default_rng(0).standard_normal((5, paper.POPSIZE, parameters))
        return time.perf_counter() - started

    return work, least


CURVES = {
    "collect": Curve("collect, LunarLander", "steps", (10_000, 30_000, 100_000), collecting, "nothing stored"),
    "frames": Curve("frames in training order", "frames", (5_000, 15_000, 50_000), loading, "memory copied"),
    "vae": Curve("vae, an epoch", "frames", (1_000, 3_000, 10_000), seeing, PRODUCTS),
    "encode": Curve("encode", "frames", (2_000, 6_000, 20_000), encoding, PRODUCTS),
    "mdnrnn": Curve("mdnrnn, an epoch", "steps", (12_800, 38_400, 128_000), remembering, PRODUCTS),
    "popsize": Curve("dream", "candidates", (16, 48, 160), lambda n, _: dreaming(popsize=n), PRODUCTS),
    "rollouts": Curve("dream", "rollouts", (4, 12, 40), lambda n, _: dreaming(rollouts=n), PRODUCTS),
    "hidden": Curve("dream", "units of M", (64, 192, 640), lambda n, _: dreaming(hidden=n), PRODUCTS),
    "cma": Curve("CMA-ES, full", "parameters", (200, 600, 2_000), lambda n, _: searching(n, "full"), DRAWN),
    "cma_diagonal": Curve(
        "CMA-ES, diagonal",
        "parameters",
        (2_000, 6_000, 20_000),
        lambda n, _: searching(n, "diagonal"),
        DRAWN,
    ),
}


def recorded(frames: int, folder: Path) -> EpisodeStore:
    """Synthetic frames in shards, as compressible as CarRacing's."""

    def episodes(count: int) -> Iterator[Episode]:
        rng = np.random.default_rng(0)
        for seed in range(count):
            small = rng.integers(0, 256, (EPISODE, 16, 16, 3), np.uint8)
            end = np.arange(EPISODE - 1) == EPISODE - 2
            yield Episode(
                obs=small.repeat(4, axis=1).repeat(4, axis=2),
                action=rng.integers(paper.A, size=EPISODE - 1),
                reward=rng.standard_normal(EPISODE - 1, np.float32),
                terminated=end,
                truncated=np.zeros_like(end),
                seed=seed,
                policy="made up",
            )

    home = folder / "frames"
    home.mkdir()
    shards = [home / f"shard-{i:05d}.h5" for i in range(-(-frames // 5000))]
    for path in shards:
        write_shard(path, episodes(min(frames, 5000) // EPISODE))
    write_manifest(home, shards, round_name="frames", spec=FRAMES, previous=None)
    return EpisodeStore.open(home)


def products(flop: float, precision: Precision = "float32") -> Callable[[], float]:
    """Seconds for ``flop`` operations at the rate of large matrix products."""
    return lambda: 1 / rate(matrix_products(flop, product_dtype(precision, CPU), CPU))


def point(name: str, size: int) -> dict[str, float]:
    """One point of a curve, in this process."""
    curve = CURVES[name]
    with tempfile.TemporaryDirectory() as folder:
        work, least = curve.prepare(size, Path(folder))
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        peak = _peak_memory()
        return {"size": size, "seconds": seconds, "limit_seconds": least(), "peak_mb": peak / 2**20}


def _peak_memory() -> int:
    """Peak memory of this process, in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def draw(path: Path, points: dict[str, list[dict[str, float]]]) -> None:
    """Plot time at the top, with the limit as a dashed line, and peak memory below; one column per curve."""
    columns = 5
    rows = -(-len(points) // columns)
    figure = Figure(figsize=(3 * columns, 5 * rows), dpi=100, layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for number, (name, row) in enumerate(points.items()):
        bank, column = divmod(number, columns)
        above, below = axes[2 * bank, column], axes[2 * bank + 1, column]
        curve, sizes = CURVES[name], [point["size"] for point in row]
        above.loglog(sizes, [point["seconds"] for point in row], "o-", color="#2563ab", label="measured")
        above.loglog(sizes, [point["limit_seconds"] for point in row], "--", color="#71717a", label=curve.limit)
        above.set(title=curve.title, ylabel="seconds")
        above.legend(fontsize=8)
        below.semilogx(sizes, [point["peak_mb"] for point in row], "s-", color="#d9792b")
        below.set(xlabel=curve.size, ylabel="peak memory, MB", ylim=(0, 1.2 * max(point["peak_mb"] for point in row)))
        for ax in (above, below):
            ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
            ax.minorticks_off()
            ax.grid(color="#e4e4e7")
    for ax in axes.flat:
        ax.set_visible(ax.has_data())
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Measure the named curves, or all, and print, plot and save them."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth", description="Cost against size.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CURVES))
    parser.add_argument("--figure", type=Path, help="a PNG of all curves")
    parser.add_argument("--json", type=Path, help="all points")
    parser.add_argument("--point", type=int, metavar="SIZE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(CURVES):
        parser.error(f"{min(unknown)}: no such curve; accepted: {', '.join(CURVES)}")
    if arguments.point:
        print(json.dumps(point(arguments.names[0], arguments.point)))
        return
    points: dict[str, list[dict[str, float]]] = {}
    for name in arguments.names or CURVES:
        for size in CURVES[name].sizes:
            command = [sys.executable, "-m", "benchmarks.growth", name, "--point", str(size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            points.setdefault(name, []).append(measured)
            print(
                f"{name:13} {size:8,} {CURVES[name].size:11} {measured['seconds']:8.2f} s,"
                f" limit {measured['limit_seconds']:8.2f} s, peak {measured['peak_mb']:6,.0f} MB",
                flush=True,
            )
        if arguments.json:
            arguments.json.write_text(json.dumps(points, indent=2) + "\n")
    if arguments.figure:
        draw(arguments.figure, points)


if __name__ == "__main__":
    main()
