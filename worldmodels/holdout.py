"""The train/validation split of episodes, shared by V and M: neither validates on the other's training data."""

import numpy as np
from numpy.typing import NDArray

from worldmodels.common.params import UserError
from worldmodels.common.seeding import numpy_rng

FRACTION = 0.1


def split_episodes(count: int, seed: int, *, fraction: float = FRACTION) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the episodes to train and to validate on, ascending; at least one each.

    An episode's side depends only on the run's seed and on its index, which does not change when later rounds add
    episodes. Exception: if a side would be empty, the episode nearest to it changes sides.

    Args:
        count: episodes of all rounds so far.
        fraction: expected share that is held out.

    Raises:
        UserError: there are fewer than two episodes.
    """
    if count < 2:
        raise UserError(f"{count} episodes cannot be split for training and validation; collect at least 2")
    chance = numpy_rng(seed, "hold-out").random(count)
    held_out = chance < fraction
    held_out[chance.argmin()], held_out[chance.argmax()] = True, False
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
