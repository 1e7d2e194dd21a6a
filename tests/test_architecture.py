"""Tests of the import rules of ARCHITECTURE.md, and of the dependencies in dvc.yaml."""

import ast
from collections.abc import Collection
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from stages.code import STAGES as CODE_OF
from stages.common.sources import Sources

ROOT = Path(__file__).parent.parent
LAYERS = {
    "common": 0,
    "records": 0,
    "environment": 1,
    "vision": 1,
    "memory": 2,
    "dream": 3,
    "control": 4,
    "files": 0,
    "holdout": 0,
    "round": 5,
    "report": 5,
    "agents": 6,
    "dreams": 7,
    "play": 8,
    "evaluate": 7,
    "info": 7,
    "training": 0,
}
PIPELINE = OmegaConf.to_container(OmegaConf.load(ROOT / "dvc.yaml"))
TEMPLATE = "worldmodels/report/page.html"  # not Python, so no file of code/ has its digest
STAGES: dict[str, dict] = {name: stage.get("do", stage) for name, stage in PIPELINE["stages"].items()}  # type: ignore
LIBRARY = sorted(path.relative_to(ROOT) for path in (ROOT / "worldmodels").rglob("*.py"))


SOURCES = Sources(ROOT)


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def layer(path: Path) -> int | None:
    return LAYERS.get(path.parts[1].removesuffix(".py")) if len(path.parts) > 1 else None


def breaches(path: Path, names: Collection[str]) -> list[str]:
    """The imports among ``names`` that are not allowed in ``path``."""
    mine, package = layer(path), path.parts[1].removesuffix(".py")
    wrong = [name for name in names if name.split(".")[0] in ("dvc", "dvclive", "stages")]
    for name in names:
        parts = name.split(".")
        if parts[0] != "worldmodels" or len(parts) < 2 or parts[1] not in LAYERS or mine is None:
            continue
        other = LAYERS[parts[1]]
        if other > mine or (other == mine > 0 and parts[1] != package):
            wrong.append(name)
    for package, user in (("cma", "control/cmaes.py"), ("ray", "common/cluster.py")):
        if package in {name.split(".")[0] for name in names} and path != Path("worldmodels", user):
            wrong.append(package)
    return wrong


@pytest.mark.parametrize("path", LIBRARY, ids=str)
def test_imports_go_one_way(path: Path) -> None:
    assert breaches(path, SOURCES.imports(name_of(path))) == []


def test_the_rule_can_be_broken() -> None:
    vae = Path("worldmodels/vision/vae.py")
    for name in ("worldmodels.memory", "worldmodels.environment.spec", "dvclive", "stages.common.live", "cma", "ray"):
        assert breaches(vae, {name}) == [name]
    assert breaches(vae, {"worldmodels.vision.loss", "worldmodels.records", "torch"}) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_code_by_one_file(stage: str) -> None:
    assert STAGES["code"]["outs"] == ["code"]
    deps = STAGES[stage].get("deps", [])
    found = [dep for dep in deps if Path(dep).parts[0] in ("code", "stages", "worldmodels") and dep != TEMPLATE]
    assert found == ([] if stage == "code" else [f"code/{stage}.json"])
    assert (TEMPLATE in deps) == (stage == "report")


def test_every_stage_has_its_code_found() -> None:
    assert {"code", *CODE_OF} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_parameters_it_loads(stage: str) -> None:
    source = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    loaded = {
        call.args[0].value
        for call in calls
        if getattr(call.func, "id", "") == "load_section" and isinstance(call.args[0], ast.Constant)
    }
    declared = set(STAGES[stage]["params"])
    if stage == "code":  # it reads only the environments' parameters
        assert declared == {"env.id", "evaluate.env_id"}
    elif stage in ("init", "report"):  # they read the whole file; the section runtime changes no result
        assert declared == set(OmegaConf.load(ROOT / "params.yaml")) - {"runtime"}
    else:
        assert {name for name in declared if not name.startswith("run.")} == loaded
        for name in ("run.seed", "run.final_round"):
            assert (name in declared) == (name in source), name


def test_one_file_imports_dvclive() -> None:
    users = [
        path.name
        for path in (ROOT / "stages").rglob("*.py")
        if "dvclive" in {n.split(".")[0] for n in SOURCES.imports(name_of(path.relative_to(ROOT)))}
    ]
    assert users == ["live.py"]
