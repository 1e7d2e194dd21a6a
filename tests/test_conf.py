"""params.yaml, conf/ and the configuration dataclasses say the same."""

from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from stages.init import SECTIONS, check_params
from worldmodels.common.params import ParamError

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
ENVS = sorted(path.stem for path in (CONF / "env").glob("*.yaml"))
MODES = sorted(path.stem for path in (CONF / "mode").glob("*.yaml"))


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base=None):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)  # type: ignore


def test_the_committed_parameters_are_the_composed_defaults() -> None:
    assert OmegaConf.to_container(OmegaConf.load(ROOT / "params.yaml")) == composed()


def test_the_defaults_stand_once_in_code_and_once_in_conf() -> None:
    base = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
    assert isinstance(base, dict)
    for name, config in SECTIONS.items():
        defaults = config()
        chosen = {"env", "mode", "final_round"} if name == "run" else set()  # the groups give these
        assert base[name] == {f.name: getattr(defaults, f.name) for f in fields(config) if f.name not in chosen}, name


@pytest.mark.parametrize(("env", "mode"), list(product(ENVS, MODES)))
def test_every_environment_in_every_mode_is_accepted(env: str, mode: str) -> None:
    params = composed(f"env={env}", f"mode={mode}")
    check_params(params)
    assert (params["run"]["env"], params["run"]["mode"]) == (env, mode)
    floor = {"quick": (20, 2, 10), "standard": (20, 2, 10), "full": (10_000, 10, 800)}[mode]
    asked = params["collect"]["random_episodes"], params["vae"]["epochs"], params["controller"]["generations"]
    assert all(value >= least for value, least in zip(asked, floor, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_the_low_cost_carracing_differs_in_what_is_drawn_alone(mode: str) -> None:
    real, cheap = composed("env=carracing", f"mode={mode}"), composed("env=carracing_lowcost", f"mode={mode}")
    assert cheap["env"]["id"] != real["env"]["id"] and cheap["run"]["env"] != real["run"]["env"]
    assert (real["evaluate"]["env_id"], cheap["evaluate"]["env_id"]) == ("", real["env"]["id"])  # where it is scored
    for section, key in (("env", "id"), ("run", "env"), ("evaluate", "env_id")):
        cheap[section][key] = real[section][key]
    assert cheap == real


def test_a_choice_of_rounds_beats_the_preset() -> None:
    params = composed("rounds=r2")
    assert params["rounds"] == {"r1": {"previous": "r0"}, "r2": {"previous": "r1"}}
    assert params["run"]["final_round"] == "r2"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p.pop("vae"), "section 'vae' is missing"),
        (lambda p: p.update(vea={}), "section 'vea' is unknown"),
        (lambda p: p.update(mode="full"), "section 'mode' is unknown"),
        (lambda p: p.update(env="carracing"), "env = 'carracing'"),
        (lambda p: p.update(rounds=3), "rounds = 3"),
        (lambda p: p["rounds"].update(r2={"previous": "r7"}), r"rounds\.r2\.previous = 'r7': expected 'r1'"),
        (lambda p: p["run"].update(final_round="r9"), r"run\.final_round = 'r9'"),
        (lambda p: p["runtime"].update(device="tpu"), r"runtime\.device = 'tpu'"),
    ],
)
def test_a_wrong_file_is_one_line(change, named: str) -> None:
    params = composed()
    change(params)
    with pytest.raises(ParamError, match=named) as caught:
        check_params(params)
    assert "\n" not in str(caught.value)
