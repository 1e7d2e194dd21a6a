"""Search as in the tests, report a given generation and hang there, to be killed.

python -m tests.control.hanging_job ROOT GENERATION
"""

import sys
import time
from pathlib import Path

from tests.control.searches import search


def main(root: str, stop: str) -> None:
    def log(step, metrics):
        if step == int(stop):
            print("here", flush=True)
            time.sleep(600)

    search(Path(root), log=log)


if __name__ == "__main__":
    main(*sys.argv[1:])
