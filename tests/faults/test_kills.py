"""A few kills of ``kills``, which makes a hundred."""

import os
from pathlib import Path

import pytest

from tests.faults.kills import torture


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_pipeline_ends_in_the_same_bytes(tmp_path: Path) -> None:
    tally = torture(4, 0, tmp_path)
    assert tally.kills.total() >= 4 and tally.whole and not tally.faults, tally.table()
