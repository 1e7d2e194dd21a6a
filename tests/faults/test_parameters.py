"""Parameters drawn at random: each file is accepted, or refused in one line that names the place."""

import collections
import copy
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages.init import check_params
from worldmodels.common.params import UserError, read_params

ROOT = Path(__file__).parents[2]
COUNT = 300  # `python -m tests.faults` draws more
GOOD = read_params(ROOT / "params.yaml")
PLACES = [(section, key) for section, values in GOOD.items() for key in (*values, "")]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.integers(),
    st.sampled_from([10**30, -1e308, 1e308, 1e-320, float("nan"), float("inf"), 0.5, "auto", "zh", "", "040", "1:30"]),
    st.floats(),
    st.text(max_size=8),
)
USUAL = [value for values in GOOD.values() for value in values.values() if not isinstance(value, dict | list)]
VALUES = st.sampled_from(USUAL) | st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "set", "set", "drop", "rename"]), VALUES),
    min_size=1,
    max_size=3,
)


def changed(changes: list[tuple[tuple[str, str], str, Any]]) -> dict[str, Any]:
    """The committed parameters with these changes; without a key it is the section that is changed."""
    params = copy.deepcopy(GOOD)
    for (section, key), what, value in changes:
        inside = params.get(section) if key else params
        name = key or section
        if not isinstance(inside, dict) or name not in inside:
            continue
        if what == "set":
            inside[name] = value
        else:
            kept = inside.pop(name)
            if what == "rename":
                inside[f"{name}x"] = kept
    return params


def checked(count: int) -> collections.Counter[str]:
    """So many files: how many were accepted, and how many refused in one line. Anything else is raised."""
    outcomes: collections.Counter[str] = collections.Counter()
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "params.yaml"
    yaml = YAML(typ="safe", pure=True)

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(CHANGES)
    def check(changes: list) -> None:
        yaml.dump(changed(changes), path)
        try:
            check_params(read_params(path))
        except UserError as error:
            assert "\n" not in str(error) and "params.yaml" in str(error), str(error)
            outcomes["refused"] += 1
        else:
            outcomes["accepted"] += 1

    check()
    folder.cleanup()
    return outcomes


def test_each_is_accepted_or_refused_in_one_line() -> None:
    outcomes = checked(COUNT)
    assert outcomes.total() >= COUNT and min(outcomes["accepted"], outcomes["refused"]) > COUNT // 20
