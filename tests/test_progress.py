import time

import pytest

from worldmodels.common import progress


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in progress.progress_bar(range(3), desc="short"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.05)
    with progress.progress_bar(total=6, desc="long", unit="step") as bar:
        for _ in range(6):
            time.sleep(0.04)
            bar.set_postfix(loss=0.5)
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) < 6 and all(line.startswith("long: ") and "loss=0.5" in line for line in lines)
    assert "\r" not in "".join(lines)
