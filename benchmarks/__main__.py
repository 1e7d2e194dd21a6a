"""Print all figures as one table: ``python -m benchmarks [--json FILE] [--device DEVICE] [NAME …]``."""

import argparse
import importlib
import json
import platform
from pathlib import Path

import torch

from benchmarks.measure import Result

ON_ANY_DEVICE = ("dream", "vae_train", "encode", "mdnrnn_train")  # these need only torch and numpy, no environment
ON_CPU = ("carracing", "collect", "agent", "frames", "cma", "busy")
NOISE = 0.2  # a figure is unreliable if other processes use more cores than this


def main() -> None:
    """Run the named benchmarks, or all that the device can run."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ON_ANY_DEVICE + ON_CPU))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as a list of objects, too")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    every = ON_ANY_DEVICE + (ON_CPU if device.type == "cpu" else ())
    if unknown := set(arguments.names) - set(every):
        parser.error(f"{min(unknown)}: not a benchmark on {device}; accepted: {', '.join(every)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {_hardware(device)}")
    results: list[Result] = []
    print(HEADER)
    for name in arguments.names or every:
        for result in importlib.import_module(f"benchmarks.{name}").run(device):
            results.append(result)
            print(line(result), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps([result.to_dict() for result in results], indent=2) + "\n")


HEADER = (
    f"{'path':20} {'ours':>10} {'stock':>10} {'naive':>10} {'limit':>10} {':stock':>7} {':naive':>7} {'of limit':>8}  "
    f"{'unit':11} {'spread':>6} {'other load':>10}  ours; naive; limit"
)


def line(result: Result) -> str:
    """One row as text."""
    rates = " ".join(f"{_number(rate):>10}" for rate in (result.ours, result.stock, result.naive, result.limit))
    ratios = " ".join(f"{_ratio(ratio):>7}" for ratio in (result.stock_ratio, result.ratio))
    fraction = f"{result.fraction_of_limit:.1%}" if result.fraction_of_limit is not None else "-"
    spread = f"{max(result.spread.values(), default=0):.0%}"
    load = "unseen" if result.other_load is None else f"{result.other_load:.2f}{'!' * (result.other_load > NOISE)}"
    return f"{result.path:20} {rates} {ratios} {fraction:>8}  {result.unit:11} {spread:>6} {load:>10}  {result.note}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.backends.cpu.get_cpu_capability()}, {platform.machine()}"


if __name__ == "__main__":
    main()
