"""What was earned after each recorded step, for M's value."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.vision.latents import LatentStore

_UNSEEN = 0.05  # the part of a discounted sum's weights that may lie beyond the recording


class Returns(NamedTuple):
    """Columns of a store's steps, in memory: five bytes a step.

    Attributes:
        to_go: (sum(T),) float32, discounted sum of the rewards after the step, unscaled; 0 after an end.
        foreseen: (sum(T),) bool: the recording goes on to an end, or for long enough to tell it.
    """

    to_go: NDArray[np.float32]
    foreseen: NDArray[np.bool_]


def returns_to_go(store: LatentStore, discount: float) -> Returns | None:
    """The returns of all recorded steps; None without a discount, 0."""
    if not discount:
        return None
    ahead = math.ceil(math.log(_UNSEEN) / math.log(discount))
    columns = Returns(np.zeros(store.steps, np.float32), np.zeros(store.steps, np.bool_))
    for number, (first, last) in enumerate(zip(store.step_offset, store.step_offset[1:], strict=False)):
        terminated = np.array(store.terminated[first:last])
        columns.to_go[first:last] = _to_go(store.reward[first:last], terminated, discount)
        steps, last_end = np.arange(store.lengths[number]), np.flatnonzero(terminated).max(initial=-1)
        columns.foreseen[first:last] = (steps <= last_end) | (steps + ahead < len(steps))
    return columns


def _to_go(reward: NDArray, terminated: NDArray[np.bool_], discount: float) -> list[float]:
    returns, after = [], 0.0
    for earned, ended in zip(reversed(reward.tolist()), reversed(terminated.tolist()), strict=True):
        after = 0.0 if ended else after
        returns.append(after)
        after = earned + discount * after
    return returns[::-1]
