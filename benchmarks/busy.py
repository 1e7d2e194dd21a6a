"""Benchmark of training while another process uses one core. ``limit``: no other process; ``stock``: plain loop."""

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
    """The row of V or of M."""
    ways = {"ours": beside(ours), "limit": ours, "stock": beside(stock)}
    return compare(path, ways, unit=unit, note="beside a busy process; -; alone", repeats=3)


def beside(work: Way) -> Way:
    """``work`` while another process runs a busy loop."""

    def crowded() -> float:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            try:
                return work()
            finally:
                other.kill()

    return crowded


def few_of_v(device: torch.device) -> Way:
    """The plain loop of V with few updates: it may be very slow here."""
    vae_train.STOCK_UPDATES = 5
    return vae_train.stock(device, "auto")


def few_of_m(device: torch.device, config: MDNRNNConfig) -> Way:
    """The plain loop of M with few updates."""
    mdnrnn_train.STOCK_UPDATES = 3
    return mdnrnn_train.stock(device, config)
