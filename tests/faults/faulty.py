"""An environment that does what the file ``fault`` in the working folder says, in the third step of an episode."""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from tests.environments import CountingPixels


def _raises() -> None:
    raise RuntimeError("the motor is on fire")


def _exhausts() -> None:
    np.ones(1 << 50)


FAULTS: dict[str, Callable[[], object]] = {
    "hangs": lambda: time.sleep(1e6),
    "raises": _raises,
    "asks for more memory than there is": _exhausts,
    "is killed, as a system short of memory does": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashes": lambda: ctypes.string_at(0),
    "ends its process": lambda: os._exit(0),
}
OF_ITSELF = tuple(FAULTS)[1:3]  # raised in the environment
OF_THE_ENVIRONMENT = tuple(FAULTS)[:3]  # the others end the process it is played in


class Faulty(CountingPixels):
    """As CountingPixels, until it is told otherwise."""

    def step(self, action: Any):
        if self.count == 2 and (told := Path("fault")).exists():
            FAULTS[told.read_text()]()
        return super().step(action)


gym.register("Faulty-v0", f"{__name__}:Faulty", max_episode_steps=12)
