"""Train as in the tests, report a given update and hang there, to be killed.

python -m tests.memory.hanging_job ROOT UPDATE
"""

import sys
import time
from pathlib import Path

import torch

from tests.memory.worlds import train


def main(root: str, stop: str) -> None:
    torch.set_num_threads(1)

    def log(step, metrics):
        if step == int(stop):
            print("here", flush=True)
            time.sleep(600)

    train(Path(root), log=log)


if __name__ == "__main__":
    main(*sys.argv[1:])
