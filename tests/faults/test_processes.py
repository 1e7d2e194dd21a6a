"""Some of the faults of ``processes``."""

import os
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.outcomes import Tiny, Verdict, failed, report


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_processes_that_die_meet_or_mistake_the_time_are_told_or_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PLAYING", {"stages.collect": ("r1", "r0")})
    monkeypatch.setattr(processes, "TIMED", {"stages.mdnrnn": ("r1", "r0")})
    tiny = Tiny(tmp_path, *processes.PARAMS, "runtime.workers=2")
    played = list(processes.players(tiny, ["raises", "is killed, as a system short of memory does"], "in workers"))
    outcomes = [*played, *processes.clocks(tiny), *processes.twice(tiny)]
    assert not failed(outcomes), report(outcomes)
    assert [one.verdict for one in played] == [Verdict.TOLD, Verdict.TOLD, Verdict.SURVIVED]
    assert "seed" in played[0].said and "the motor is on fire (faulty.py, line" in played[0].said
