"""Tests that a stage is stale if and only if the code it depends on changes its behaviour."""

import gc
import json
from pathlib import Path

import pytest

from stages.common.sources import Sources
from tests.test_pipeline import checkout, ran, repro, run

FILES = {
    "app/__init__.py": "",
    "app/main.py": "import json\nfrom app.tools import used\n",
    "app/tools.py": "def used():\n    from . import late\n    return late\n",
    "app/late.py": """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import app.typing_only
else:
    import app.real
""",
    "app/real.py": "WORLD = 'worlds.core:World'\n",
    "app/typing_only.py": "",
    "app/idle.py": "",
    "worlds/__init__.py": "",
    "worlds/core.py": "from .inner.step import step\n",
    "worlds/inner/__init__.py": "",
    "worlds/inner/step.py": "from ..sibling import x as step\n",
    "worlds/sibling.py": "x = 1\n",
}


def project(folder: Path, **changed: str) -> Sources:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, text))
    return Sources(folder)


def test_it_reaches_what_is_imported_late_relatively_and_by_entry_point_and_nothing_else(tmp_path):
    assert project(tmp_path).reach("app.main") == [
        *("app", "app.late", "app.main", "app.real", "app.tools"),
        *("worlds", "worlds.core", "worlds.inner", "worlds.inner.step", "worlds.sibling"),
    ]


CODE = '''"""A module."""
def double(x: int = 2) -> int:
    """Twice x."""
    return 2 * x  # twice
class Empty:
    """Nothing."""
LIMIT = 3
"""Of doubling."""
'''


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("# twice", "# two times x"),
        CODE.replace('"""Twice x."""', '"""Two times x."""'),
        CODE.replace('    """Twice x."""\n', ""),
        CODE.replace('"""A module."""\n', "\n\n\n"),
        CODE.replace("return 2 * x", "return (\n        2\n        * x\n    )"),
        CODE.replace('    """Nothing."""', '    """Nothing at all."""'),
        CODE.replace('"""Of doubling."""', '"""How often."""'),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path, other):
    assert project(tmp_path / "a", real=CODE).digest("app.real") == project(tmp_path / "b", real=other).digest(
        "app.real"
    )


@pytest.mark.parametrize(
    "change", [("2 * x", "3 * x"), ("x: int = 2", "x: int = 3"), ("double", "twice"), ("2 * x", "x * 2")]
)
def test_what_it_does_counts(tmp_path, change):
    one, other = project(tmp_path / "a", real=CODE), project(tmp_path / "b", real=CODE.replace(*change))
    assert one.digest("app.real") != other.digest("app.real")


WORLD = {
    "cells/__init__.py": """import gymnasium as gym
gym.register("Cells-v0", "cells.world:Cells", reward_threshold=45, max_episode_steps=12)
""",
    "cells/world.py": """from tests.environments import CountingState
from .rules import pay
class Cells(CountingState):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, pay(reward), terminated, truncated, info
""",
    "cells/rules.py": "def pay(reward):\n    return reward\n",
}


def edit(path: Path, old: str, new: str, count: int = -1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.slow
def test_what_an_edit_reruns(tmp_path):
    """Each edit in turn, each followed by ``dvc repro``."""
    for name, text in WORLD.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = checkout(tmp_path, "run.rounds=1", "env.id=cells:Cells-v0", "evaluate.videos=0")
    after_m = ["mdnrnn@r1", "controller@r1", "evaluate", "report"]
    everything = ["init", "collect@r1", "vae@r1", "encode@r1", *after_m]
    library = folder / "worldmodels"
    assert ran(repro(folder)) == ["code", *everything]

    edit(library / "memory/loss.py", "    s = model.stats\n", "    s = model.stats  # its units\n")
    edit(library / "memory/train.py", '"""', '"""Edited: ', count=1)
    edit(
        library / "environment/policy.py",
        "return self.spec.decode_action(2 * noise - 1)",
        "return self.spec.decode_action(\n            2 * noise - 1\n        )",
    )
    assert ran(repro(folder)) == ["code"]

    add(library / "environment/carracing_lowcost.py", "\nFASTER = True\n")
    add(library / "environment/carracing.py", "\nFASTER = True\n")
    assert ran(repro(folder)) == ["code"]

    edit(library / "memory/loss.py", '"reward": reward * goes_on', '"reward": 2 * reward * goes_on')
    repro(folder, "code")
    done = run(folder, "python", "-m", "stages.code", "--why", "mdnrnn")
    assert done.stdout.splitlines() == [
        "mdnrnn@r1: its code has changed since dvc.lock",
        "  worldmodels.memory.loss changed",
    ]
    assert ran(repro(folder)) == ["code", *after_m]
    done = run(folder, "python", "-m", "stages.code", "--why", "mdnrnn")
    assert done.stdout.splitlines() == ["mdnrnn@r1: its code has not changed since dvc.lock"]

    edit(folder / "cells/rules.py", "return reward", "return 2 * reward")  # a relative import
    assert ran(repro(folder)) == ["code", *everything]

    edit(folder / "cells/world.py", "return obs, pay", "return obs + 1, pay")
    assert ran(repro(folder)) == ["code", *everything]
    code = json.loads((folder / "code" / "collect.json").read_text())
    assert {"cells", "cells.world", "cells.rules", "tests.environments"} <= code["modules"].keys()
    assert "gymnasium" in code["packages"]


def test_a_stage_without_its_code_is_one_line(tmp_path):
    folder = checkout(tmp_path)
    done = run(folder, "python", "-m", "stages.collect", "r1", "r0")
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {Path('code/collect.json')}: no such file; `dvc repro code` makes it"


def test_why_wants_the_name_of_a_stage(tmp_path):
    done = run(checkout(tmp_path), "python", "-m", "stages.code", "--why", "vea")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --why vea: no such stage; accepted: init, collect, vae,")


def test_importing_a_stage_leaves_the_garbage_collector_alone():
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (
            lambda folder: edit(folder / "params.yaml", "env:\n  id:", "env: carracing\nodd:\n  id:"),
            "env = 'carracing'",
        ),
        (lambda folder: add(folder / "tests" / "environments.py", "def half(\n"), "environments.py, line "),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, break_it, said):
    folder = checkout(tmp_path, "env.id=tests.environments:CountingState-v0")
    break_it(folder)
    done = run(folder, "python", "-m", "stages.code")
    assert done.returncode == 1
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1
