"""Benchmark of a generation's dreams: 64 candidates × 16 rollouts at the paper's sizes."""

import torch
from torch import nn
from torch.distributions import Categorical, Normal

from benchmarks import paper
from benchmarks.measure import Result, Way, apart, beside_products, single_threaded
from worldmodels.common.device import product_dtype
from worldmodels.common.params import Precision
from worldmodels.dream.config import DreamConfig
from worldmodels.dream.simulator import Dream
from worldmodels.dream.starts import RecordedStart

HORIZON = 400  # less than half of a generation's steps: the rate does not depend on it
NAIVE_STEPS, STOCK_STEPS = 300, 30


def run(device: torch.device) -> list[Result]:
    """In float32, and in bfloat16 with hardware support, without and with torch.compile."""
    results = [measure("dream_float32", device, "float32")]
    if product_dtype("auto", device) == torch.bfloat16:
        results.append(measure("dream_compiled", device, "auto", compiled=True))
    return [*results, measure("dream", device, "auto")]


def measure(path: str, device: torch.device, precision: Precision, *, compiled: bool = False) -> Result:
    """Dream steps per second of one setting."""
    config = DreamConfig(horizon=HORIZON, end_on_leaving=False, precision=precision, compile=compiled, max_batch=2**16)
    ours = on_workers(config) if device.type == "cpu" else in_one_batch(config, device)
    dtype, alone = product_dtype(precision, device), single_threaded(naive(device))
    note = f"{', compiled' if compiled else ''}; one rollout at a time"
    plain = apart(stock, device, precision)
    return beside_products(path, ours, plain, alone, paper.DREAM_FLOP, dtype, device, note, unit="steps/s")


def on_workers(config: DreamConfig) -> Way:
    """As in the stage controller on CPUs: one thread per worker process."""
    from worldmodels.common.runtime import RuntimeConfig
    from worldmodels.common.seeding import Role
    from worldmodels.control.controller import Controller
    from worldmodels.control.fitness import DreamFitness

    fitness = DreamFitness(
        dream=Dream(paper.memory(), _Origin(), config),  # type: ignore[arg-type]
        controller=Controller(feature_dim=paper.Z + paper.D, action_dim=paper.A, features="zh", action="box"),
        runtime=RuntimeConfig(),
        seed=0,
    )
    solutions = paper.solutions().numpy()

    def work() -> float:
        return float(fitness(solutions, paper.ROLLOUTS, Role.FITNESS).lengths.sum())

    return work


def in_one_batch(config: DreamConfig, device: torch.device) -> Way:
    """As in the stage controller on an accelerator."""
    dream = Dream(paper.memory(device=device), _Origin(), config)  # type: ignore[arg-type]
    solutions, generator = paper.solutions().to(device), torch.Generator().manual_seed(0)

    def work() -> float:
        return float(dream.returns(paper.act, solutions, paper.ROLLOUTS, generator).lengths.sum())

    return work


class _Origin:
    def draw(self, count: int, generator: torch.Generator) -> RecordedStart:
        return RecordedStart.at(torch.randn(count, paper.Z, generator=generator))


def stock(device: torch.device, precision: Precision) -> Way:
    """All dreams as one batch of torch's cell, linear layers and distributions, without checks for ended dreams."""
    cell = nn.LSTMCell(paper.Z + paper.A, paper.D).to(device)
    head = nn.Linear(paper.D, 3 * paper.K * paper.Z + 3).to(device)
    solutions, dreams = paper.solutions().to(device), paper.POPSIZE * paper.ROLLOUTS
    bfloat16 = product_dtype(precision, device) == torch.bfloat16

    @torch.inference_mode()
    def work() -> float:
        z = torch.randn(dreams, paper.Z, device=device)
        h = c = torch.zeros(dreams, paper.D, device=device)
        total = torch.zeros(dreams, device=device)
        for _ in range(STOCK_STEPS):
            action = paper.act(solutions, torch.cat((z, h), 1).unflatten(0, (paper.POPSIZE, -1))).flatten(0, 1)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                h, c = cell(torch.cat((z, action), 1), (h, c))
                out = head(h)
            h, c, out = h.float(), c.float(), out.float()
            mixture, going_on, ending, logit = out.split((3 * paper.K * paper.Z, 1, 1, 1), 1)
            logpi, mean, logstd = mixture.unflatten(1, (3, paper.Z, paper.K)).unbind(1)
            component = Categorical(logits=logpi).sample()[..., None]
            z = Normal(mean.gather(2, component)[..., 0], logstd.gather(2, component)[..., 0].exp()).sample()
            ends = torch.rand_like(logit) < torch.sigmoid(logit - 1e3)
            total += torch.where(ends, ending, going_on)[:, 0]
        return dreams * STOCK_STEPS

    return work


def naive(device: torch.device) -> Way:
    """One rollout at a time with torch's own cell and distributions, as in most ports of the paper."""
    cell = nn.LSTMCell(paper.Z + paper.A, paper.D).to(device)
    head = nn.Linear(paper.D, 3 * paper.K * paper.Z + 2).to(device)
    controller = nn.Linear(paper.Z + paper.D, paper.A).to(device)

    @torch.inference_mode()
    def work() -> float:
        z = torch.randn(1, paper.Z, device=device)
        h = c = torch.zeros(1, paper.D, device=device)
        total = 0.0
        for _ in range(NAIVE_STEPS):
            action = torch.tanh(controller(torch.cat((z, h), 1)))
            h, c = cell(torch.cat((z, action), 1), (h, c))
            mixture, reward, end = head(h).split((3 * paper.K * paper.Z, 1, 1), 1)
            logpi, mean, logstd = mixture.view(3, paper.Z, paper.K)
            component = Categorical(logits=logpi).sample()[:, None]
            z = Normal(mean.gather(1, component), logstd.gather(1, component).exp()).sample().T
            total += reward.item()
            if torch.rand(()).item() < torch.sigmoid(end - 1e3).item():  # never true: all dreams have full length
                break
        return NAIVE_STEPS

    return work
