"""Some of the damages of ``damage``, which tries all."""

from pathlib import Path

import pytest

from tests.faults import damage
from tests.faults.outcomes import failed, pixels, report


@pytest.mark.slow
def test_a_damaged_file_is_told_in_a_line_or_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "DAMAGES", {name: damage.DAMAGES[name] for name in ("a bit in the middle", "a pickle")})
    readers = {pattern: stage for pattern, stage in damage.READERS.items() if pattern.startswith(("data/", "models/"))}
    monkeypatch.setattr(damage, "READERS", readers)
    outcomes = list(damage.tried(pixels(tmp_path)))
    assert len(outcomes) == 2 * (len(readers) + 2)
    assert not failed(outcomes), report(outcomes)
