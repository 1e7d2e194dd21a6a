"""Tests that params.yaml, conf/ and the configuration dataclasses agree."""

import hashlib
import json
import tempfile
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest
from dvc.utils.hydra import compose_and_dump
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from stages.init import SECTIONS, check_params
from worldmodels.common.params import ParamError, read_params

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
ENVS = sorted(path.stem for path in (CONF / "env").glob("*.yaml"))
MODES = sorted(path.stem for path in (CONF / "mode").glob("*.yaml"))
DIGESTS = {  # of every environment in every mode: a change here changes the result of existing commands
    ("atari", "quick"): "dd157284807dd919",
    ("atari", "standard"): "f1a9580f7e98ec3d",
    ("atari", "full"): "4d53d78cb7382ed5",
    ("breakout", "quick"): "d71c8fa4dbb542f5",
    ("breakout", "standard"): "0b6bbcf5b4d7cfe6",
    ("breakout", "full"): "bf16e3786665e846",
    ("carracing", "quick"): "529de2ac73490914",
    ("carracing", "standard"): "03429bee0797e021",
    ("carracing", "full"): "ddbd258dfd2c7e32",
    ("carracing_lowcost", "quick"): "f79a5beed7f47a7e",
    ("carracing_lowcost", "standard"): "2c5237dd5bea0c43",
    ("carracing_lowcost", "full"): "2cee83171d544471",
    ("lunarlander", "quick"): "4478a728dbefb536",
    ("lunarlander", "standard"): "01af41b6b7c48864",
    ("lunarlander", "full"): "1c4ab7034e3c1016",
    ("lunarlander_continuous", "quick"): "d1cc95afc8765588",
    ("lunarlander_continuous", "standard"): "8ea3cc79942df6f3",
    ("lunarlander_continuous", "full"): "f7c9e64c65339fed",
    ("pong", "quick"): "987b8e598cb20437",
    ("pong", "standard"): "520a1d5a3229f248",
    ("pong", "full"): "5e5e6c2fe827809b",
}


def composed(*overrides: str) -> dict:
    """The params.yaml that ``dvc exp run -S <override> ...`` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        compose_and_dump(path, str(CONF), None, "config", str(CONF), list(overrides))
        return read_params(path)


def test_the_committed_parameters_are_the_composed_defaults() -> None:
    assert OmegaConf.to_container(OmegaConf.load(ROOT / "params.yaml")) == composed()


def test_the_defaults_stand_once_in_code_and_once_in_conf() -> None:
    base = OmegaConf.load(CONF / "config.yaml")
    for name, config in SECTIONS.items():
        defaults = config()
        chosen = {"env", "mode"} if name == "run" else set()  # set by the groups
        values = OmegaConf.to_container(OmegaConf.select(base, name), resolve=True)
        assert values == {f.name: getattr(defaults, f.name) for f in fields(config) if f.name not in chosen}, name


@pytest.mark.parametrize(("env", "mode"), list(product(ENVS, MODES)))
def test_every_environment_in_every_mode_is_accepted(env: str, mode: str) -> None:
    params = composed(f"env={env}", f"mode={mode}")
    check_params(params)
    assert (params["run"]["env"], params["run"]["mode"]) == (env, mode)
    floor = {"quick": (20, 2, 10), "standard": (20, 2, 10), "full": (10_000, 10, 800)}[mode]
    asked = params["collect"]["random_episodes"], params["vae"]["epochs"], params["controller"]["generations"]
    assert all(value >= least for value, least in zip(asked, floor, strict=True))


def test_every_composition_has_the_values_it_had() -> None:
    found = {}
    for env, mode in product(ENVS, MODES):
        text = json.dumps(composed(f"env={env}", f"mode={mode}"), sort_keys=True)
        found[env, mode] = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert found == DIGESTS


@pytest.mark.parametrize("mode", MODES)
def test_the_low_cost_carracing_differs_in_what_is_drawn_alone(mode: str) -> None:
    real, cheap = composed("env=carracing", f"mode={mode}"), composed("env=carracing_lowcost", f"mode={mode}")
    assert cheap["env"]["id"] != real["env"]["id"] and cheap["run"]["env"] != real["run"]["env"]
    assert (real["evaluate"]["env_id"], cheap["evaluate"]["env_id"]) == ("", real["env"]["id"])  # of the score
    for section, key in (("env", "id"), ("run", "env"), ("evaluate", "env_id")):
        cheap[section][key] = real[section][key]
    assert cheap == real


def test_any_number_of_rounds_beats_the_preset() -> None:
    assert composed("run.rounds=2")["rounds"] == {"r1": {"previous": "r0"}, "r2": {"previous": "r1"}}
    params = composed("run.rounds=12")
    check_params(params)
    assert list(params["rounds"].items())[-1] == ("r12", {"previous": "r11"})
    assert params["run"]["final_round"] == "r12"


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "true", "many", "null"])
def test_no_number_of_rounds_is_one_line(value: str) -> None:
    with pytest.raises(InterpolationResolutionError, match=r"run\.rounds = .*: expected a whole number from 1 on"):
        composed(f"run.rounds={value}")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p.pop("vae"), "section 'vae' is missing"),
        (lambda p: p.update(vea={}), "section 'vea' is unknown"),
        (lambda p: p.update(mode="full"), "section 'mode' is unknown"),
        (lambda p: p.update(env="carracing"), "env = 'carracing'"),
        (lambda p: p.update(rounds=3), "rounds = 3"),
        (lambda p: p["rounds"].update(r2={"previous": "r7"}), r"rounds\.r2\.previous = 'r7': expected 'r1'"),
        (lambda p: p["run"].update(rounds=0), r"run\.rounds = 0: .* greater than or equal to 1"),
        (lambda p: p["run"].update(rounds=6), r"run\.rounds = 6: expected 4, .* `dvc exp run -S run\.rounds=6`"),
        (lambda p: p["rounds"].pop("r4"), r"run\.rounds = 4: expected 3"),
        (lambda p: p["run"].update(final_round="r9"), r"run\.final_round = 'r9': expected the last round, 'r4'"),
        (lambda p: p["runtime"].update(device="tpu"), r"runtime\.device = 'tpu'"),
        (lambda p: p["encode"].update(lives="x"), r"encode\.lives = 'x': .* accepted: none, it is empty"),
    ],
)
def test_a_wrong_file_is_one_line(change, named: str) -> None:
    params = composed()
    change(params)
    with pytest.raises(ParamError, match=named) as caught:
        check_params(params)
    assert "\n" not in str(caught.value)
