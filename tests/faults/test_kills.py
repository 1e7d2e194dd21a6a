"""A few of the kills of ``kills``, which does a hundred."""

import os
from pathlib import Path

import pytest

from tests.faults import kills


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no groups of processes to kill")
def test_a_pipeline_that_is_killed_goes_on_to_the_bytes_of_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "PARAMS", ["env.id=CartPole-v1", "run.rounds=1"])
    monkeypatch.setattr(kills, "MOMENTS", ("dvc.lock is written", "any", "dvc.lock is written"))
    tally = kills.torture(4, 0, tmp_path)
    assert not tally.faults
    assert tally.kills.total() >= 4 and tally.whole >= 1 and tally.parts >= 1
