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
    ("atari", "quick"): "f6904607d4026f13",
    ("atari", "standard"): "7cc858fd3f927d4b",
    ("atari", "full"): "85b3ed33a26e792f",
    ("breakout", "quick"): "5eafcedd04331879",
    ("breakout", "standard"): "9e46e1ab453b0aa3",
    ("breakout", "full"): "a268641d304fe81b",
    ("carracing", "quick"): "e8d3197363fade1d",
    ("carracing", "standard"): "6d4fb7715894f45e",
    ("carracing", "full"): "1126df1e479ccb40",
    ("carracing_lowcost", "quick"): "75f316e3308f88e3",
    ("carracing_lowcost", "standard"): "c7e087183f5ef4a5",
    ("carracing_lowcost", "full"): "bcd6369704efbbc0",
    ("lunarlander", "quick"): "35f9d20b1afa5cbe",
    ("lunarlander", "standard"): "fb1468ea448f5bb2",
    ("lunarlander", "full"): "44e3d04a5873c8b3",
    ("lunarlander_continuous", "quick"): "88f9b18fefc38fe9",
    ("lunarlander_continuous", "standard"): "e23a49f7bc76f25d",
    ("lunarlander_continuous", "full"): "ac8b4be16b31fe9b",
    ("pong", "quick"): "29f2d7e63e399e6e",
    ("pong", "standard"): "d7cd1cb24985d900",
    ("pong", "full"): "f52c3f886e2d78d5",
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
        (lambda p: p["dream"].update(value=True), r"dream\.value = true with mdnrnn\.discount = 0: M has no value"),
        (lambda p: p["mdnrnn"].update(discount=1), r"mdnrnn\.discount = 1"),
        (lambda p: p["encode"].update(lives="x"), r"encode\.lives = 'x': .* accepted: none, it is empty"),
    ],
)
def test_a_wrong_file_is_one_line(change, named: str) -> None:
    params = composed()
    change(params)
    with pytest.raises(ParamError, match=named) as caught:
        check_params(params)
    assert "\n" not in str(caught.value)
