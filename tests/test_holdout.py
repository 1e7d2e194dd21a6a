"""Tests of the split that V and M share and that later rounds keep."""

import numpy as np
import pytest

from worldmodels.common.params import UserError
from worldmodels.holdout import split_episodes


def test_the_two_sides_are_all_episodes():
    train, held_out = split_episodes(400, 3)
    assert sorted([*train, *held_out]) == list(range(400))
    assert 20 <= len(held_out) <= 60
    assert held_out.tolist() != split_episodes(400, 4)[1].tolist()


@pytest.mark.parametrize("count", [40, 90, 1000])
def test_more_episodes_leave_it_as_it_was(count):
    before, after = split_episodes(40, 3)[1], split_episodes(count, 3)[1]
    np.testing.assert_array_equal(after[after < 40], before)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
def test_either_side_has_an_episode(seed, fraction):
    train, held_out = split_episodes(2, seed, fraction=fraction)
    assert len(train) == len(held_out) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_are_refused(count):
    with pytest.raises(UserError, match=f"{count} episodes cannot be split"):
        split_episodes(count, 0)
