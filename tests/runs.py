"""Helpers for tests of long runs: a log that records and can stop the run; frequent log points and checkpoints."""

from contextlib import AbstractContextManager
from unittest import mock

from worldmodels import training


class Killed(Exception):
    pass


class Recorder:
    """A log; raises at the call of number ``stop``."""

    def __init__(self, stop: int = -1) -> None:
        self.calls: list[tuple[int, dict[str, float]]] = []
        self.stop = stop

    def __call__(self, step, metrics):
        if len(self.calls) == self.stop:
            raise Killed
        self.calls.append((step, dict(metrics)))

    def named(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.calls if name in metrics]


def every(*, log: int = training.LOG_EVERY, checkpoint: int = 1) -> AbstractContextManager:
    """Inside, training curves have a point every ``log`` updates, and runs save a checkpoint every ``checkpoint``."""
    return mock.patch.multiple(training, LOG_EVERY=log, CHECKPOINT_EVERY=checkpoint)
