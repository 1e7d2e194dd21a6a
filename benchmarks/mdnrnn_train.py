"""Training M at the paper's sizes: 100 lanes, windows of 64 steps."""

import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from benchmarks import paper
from benchmarks.measure import Result, Way, beside_products
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import product_dtype
from worldmodels.common.params import Precision
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.train import train_memory

WINDOW, EPISODES, WINDOWS_PER_EPISODE, NAIVE_WINDOWS = 64, 100, 32, 32


def run(device: torch.device) -> list[Result]:
    """In float32, and in bfloat16 where the hardware has it."""
    return [measure("mdnrnn_train_float32", device, "float32"), measure("mdnrnn_train", device, "auto")]


def measure(path: str, device: torch.device, precision: Precision) -> Result:
    """Steps per second of one setting."""
    config = MDNRNNConfig(sequence_length=WINDOW, epochs=1, precision=precision)
    dtype, note = product_dtype(precision, device), "; one window at a time in float32"
    ways = ours(device, config), naive(device)
    return beside_products(path, *ways, paper.MEMORY_TRAINING_FLOP, dtype, device, note, unit="steps/s")


def ours(device: torch.device, config: MDNRNNConfig) -> Way:
    """The product's training of one epoch, validation on one episode and its checkpoint included."""
    home = tempfile.TemporaryDirectory()
    store = paper.latents(Path(home.name) / "latents", EPISODES + 1, WINDOWS_PER_EPISODE * WINDOW)

    def work() -> float:
        scratch = Scratch(Path(home.name), "mdnrnn", "benchmark")
        train_memory(store, config, seed=0, scratch=scratch, log=lambda *_: None, device=device)
        scratch.clear()
        return EPISODES * WINDOWS_PER_EPISODE * WINDOW

    return work


def naive(device: torch.device) -> Way:
    """torch's own LSTM and distributions, a window at a time."""
    lstm = nn.LSTM(paper.Z + paper.A, paper.D, batch_first=True).to(device)
    head = nn.Linear(paper.D, 3 * paper.K * paper.Z + 2).to(device)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    z, action = torch.randn(1, WINDOW + 1, paper.Z), torch.randn(1, WINDOW, paper.A)
    reward, end = torch.randn(1, WINDOW), torch.zeros(1, WINDOW)

    def work() -> float:
        for _ in range(NAIVE_WINDOWS):
            before, after, act = z[:, :-1].to(device), z[:, 1:].to(device), action.to(device)
            out = head(lstm(torch.cat((before, act), -1))[0])
            logpi, mean, logstd = out[..., :-2].unflatten(-1, (3, paper.Z, paper.K)).unbind(-3)
            mixture = MixtureSameFamily(Categorical(logits=logpi), Normal(mean, logstd.exp()))
            loss = -mixture.log_prob(after).mean() + (out[..., -2] - reward.to(device)).square().mean()
            loss = loss + nn.functional.binary_cross_entropy_with_logits(out[..., -1], end.to(device))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        return NAIVE_WINDOWS * WINDOW

    return work
