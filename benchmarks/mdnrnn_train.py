"""Benchmark of training M at the paper's sizes: 100 lanes, windows of 64 steps."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from benchmarks import paper
from benchmarks.measure import Result, Way, apart, beside_products
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.device import product_dtype
from worldmodels.common.params import Precision
from worldmodels.memory.config import MDNRNNConfig
from worldmodels.memory.train import train_memory

WINDOW, EPISODES, WINDOWS_PER_EPISODE, NAIVE_WINDOWS, STOCK_UPDATES, MEMBERS = 64, 100, 32, 32, 16, 4


def run(device: torch.device) -> list[Result]:
    """In float32, in bfloat16 with hardware support, and so with an ensemble."""
    return [
        measure("mdnrnn_train_float32", device, "float32"),
        measure("mdnrnn_train", device, "auto"),
        measure("mdnrnn_train_ensemble", device, "auto", MEMBERS),
    ]


def measure(path: str, device: torch.device, precision: Precision, members: int = 1) -> Result:
    """Steps per second of one setting; a step of every member counts."""
    config = MDNRNNConfig(sequence_length=WINDOW, epochs=1, precision=precision, ensemble_size=members)
    dtype, note = product_dtype(precision, device), "; one window at a time in float32"
    ways = apart(ours, device, config), apart(stock, device, config), naive(device)
    return beside_products(path, *ways, paper.MEMORY_TRAINING_FLOP, dtype, device, note, unit="steps/s")


def ours(device: torch.device, config: MDNRNNConfig) -> Way:
    """The project's training of one epoch, including validation on one episode and the checkpoint."""
    home = tempfile.TemporaryDirectory()
    store = paper.latents(Path(home.name) / "latents", EPISODES + 1, WINDOWS_PER_EPISODE * WINDOW)

    def work() -> float:
        scratch = Scratch(Path(home.name), "mdnrnn", "benchmark")
        train_memory(store, config, seed=0, scratch=scratch, log=lambda *_: None, device=device)
        scratch.clear()
        return config.ensemble_size * EPISODES * WINDOWS_PER_EPISODE * WINDOW

    return work


class Stock(nn.Module):
    """M's predictions with torch's layers: a mixture for z, two rewards, the end."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(paper.Z + paper.A, paper.D, batch_first=True)
        self.head = nn.Linear(paper.D, 3 * paper.K * paper.Z + 3)

    def forward(self, z: Tensor, action: Tensor, state: Any) -> tuple[Tensor, Tensor, Any]:
        """(B, L, Z), (B, L, A) and the LSTM's state to (B, L, 3KZ), (B, L, 3) and the next state."""
        out, state = self.lstm(torch.cat((z, action), -1), state)
        mixture, rest = self.head(out).float().split((3 * paper.K * paper.Z, 3), -1)
        return mixture, rest, state


def stock_loss(mixture: Tensor, rest: Tensor, after: Tensor, reward: Tensor, end: Tensor) -> Tensor:
    """Loss of ``Stock``'s outputs: likelihood, reward of continuing or ending steps, cross entropy."""
    logpi, mean, logstd = mixture.unflatten(-1, (3, paper.Z, paper.K)).unbind(-3)  # (B, L, Z, K)
    log_prob = torch.log_softmax(logpi, -1) + Normal(mean, logstd.exp()).log_prob(after[..., None])
    likelihood = torch.logsumexp(log_prob, -1).mean()
    going_on, ending, logit = rest.unbind(-1)
    rewards = ((going_on - reward).square() * (1 - end) + (ending - reward).square() * end).mean()
    return rewards - likelihood + 10 * nn.functional.binary_cross_entropy_with_logits(logit, end)


def stock(device: torch.device, config: MDNRNNConfig) -> Way:
    """Only loss and update of the stock layers, a member after the other, on windows already in memory; fused Adam."""
    models, batch = [Stock().to(device) for _ in range(config.ensemble_size)], config.batch_size
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-3, fused=True) for model in models]
    z, action = (torch.randn(batch, WINDOW + 1, size, device=device) for size in (paper.Z, paper.A))
    reward, end = torch.randn(batch, WINDOW, device=device), torch.zeros(batch, WINDOW, device=device)
    bfloat16 = product_dtype(config.precision, device) == torch.bfloat16

    def work() -> float:
        for model, optimizer in zip(models, optimizers, strict=True):
            state = None
            for _ in range(STOCK_UPDATES):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    mixture, rest, state = model(z[:, :-1], action[:, :-1], state)
                state = tuple(x.detach() for x in state)
                stock_loss(mixture, rest, z[:, 1:], reward, end).backward()
                nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
                optimizer.step()
        return len(models) * STOCK_UPDATES * batch * WINDOW

    return work


def naive(device: torch.device) -> Way:
    """torch's own LSTM and distributions, one window at a time."""
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
