"""Some of the full disks of ``disk``."""

import os
from pathlib import Path

import pytest

from tests.faults import disk
from tests.faults.outcomes import Verdict, failed, pixels, report


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of a file")
def test_a_disk_that_takes_no_more_is_told_in_a_line_and_nothing_is_half_written(tmp_path: Path) -> None:
    programs = {name: disk.PROGRAMS[name] for name in ("stages.collect", "stages.encode", "stages.mdnrnn")}
    outcomes = list(disk.tried(pixels(tmp_path), programs, (100, 1000)))
    assert not failed(outcomes), report(outcomes)
    told = [one for one in outcomes if one.verdict is Verdict.TOLD]
    assert len(told) == 6
    # of M it is the database of dvclive that does not say where it lies
    assert all("mdnrnn" in one.kind or any(name in one.said for name in ("r1", ".scratch")) for one in told)
