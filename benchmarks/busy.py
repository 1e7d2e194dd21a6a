"""Training beside a process that keeps one core busy. ``limit``: alone; ``stock``: the plain loop beside it."""

import subprocess
import sys

import torch

from benchmarks import mdnrnn_train, vae_train
from benchmarks.measure import Result, Way, apart, compare
from worldmodels.memory.config import MDNRNNConfig


def run(device: torch.device) -> list[Result]:
    """V and M at the paper's sizes, in bfloat16 where the hardware has it."""
    config = MDNRNNConfig(sequence_length=mdnrnn_train.WINDOW, epochs=1, precision="auto")
    return [
        measure("vae_train_busy", apart(vae_train.ours, device, "auto"), apart(few_of_v, device), "frames/s"),
        measure(
            "mdnrnn_train_busy", apart(mdnrnn_train.ours, device, config), apart(few_of_m, device, config), "steps/s"
        ),
    ]


def measure(path: str, ours: Way, stock: Way, unit: str) -> Result:
    """One of the two."""
    ways = {"ours": beside(ours), "limit": ours, "stock": beside(stock)}
    return compare(path, ways, unit=unit, note="beside a busy process; -; alone", repeats=3)


def beside(work: Way) -> Way:
    """The same beside a process that does nothing as fast as it can."""

    def crowded() -> float:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            try:
                return work()
            finally:
                other.kill()

    return crowded


def few_of_v(device: torch.device) -> Way:
    """The plain loop of V, few updates: it may be very slow here."""
    vae_train.STOCK_UPDATES = 5
    return vae_train.stock(device, "auto")


def few_of_m(device: torch.device, config: MDNRNNConfig) -> Way:
    """The plain loop of M, few updates."""
    mdnrnn_train.STOCK_UPDATES = 3
    return mdnrnn_train.stock(device, config)
