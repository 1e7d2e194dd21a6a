"""The rules of ARCHITECTURE.md that a reader of imports can hold, and the dependencies that DVC is told of."""

import ast
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parent.parent
LAYERS = {
    "common": 0,
    "records": 0,
    "environment": 1,
    "vision": 1,
    "memory": 2,
    "dream": 3,
    "control": 4,
    "report": 5,
}
PIPELINE = OmegaConf.to_container(OmegaConf.load(ROOT / "dvc.yaml"))
STAGES: dict[str, dict] = {name: stage.get("do", stage) for name, stage in PIPELINE["stages"].items()}  # type: ignore
LIBRARY = sorted(path.relative_to(ROOT) for path in (ROOT / "worldmodels").rglob("*.py"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def first_party(names: frozenset[str]) -> set[Path]:
    """The project's files behind dotted names, with the packages on the way to them."""
    files: set[Path] = set()
    for name in names:
        parts = name.split(".")
        if parts[0] not in ("worldmodels", "stages"):
            continue
        for end in range(1, len(parts) + 1):
            place = Path(*parts[:end])
            files |= {file for file in (place / "__init__.py", place.with_suffix(".py")) if (ROOT / file).exists()}
    return files


def reached(path: Path) -> set[Path]:
    """All first-party files that running ``path`` loads, itself among them."""
    done: set[Path] = set()
    todo = {path, path.parent / "__init__.py"}
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= first_party(imports(file)) - done
    return done


def layer(path: Path) -> int | None:
    return LAYERS.get(path.parts[1].removesuffix(".py")) if len(path.parts) > 1 else None


def breaches(path: Path, names: frozenset[str]) -> list[str]:
    """What ``path`` may not import among ``names``."""
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
    assert breaches(path, imports(path)) == []


def test_the_rule_can_be_broken() -> None:
    vae = Path("worldmodels/vision/vae.py")
    for name in ("worldmodels.memory", "worldmodels.environment.spec", "dvclive", "stages.common.live", "cma", "ray"):
        assert breaches(vae, frozenset({name})) == [name]
    assert breaches(vae, frozenset({"worldmodels.vision.loss", "worldmodels.records", "torch"})) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_runs(stage: str) -> None:
    deps = [Path(dep) for dep in STAGES[stage]["deps"]]
    files = reached(Path("stages") / f"{stage}.py")
    uncovered = [file for file in sorted(files) if not any(dep in (file, *file.parents) for dep in deps)]
    assert uncovered == [], f"a change of these would leave a stale {stage}"
    code = [dep for dep in deps if dep.parts[0] in ("stages", "worldmodels")]
    idle = [dep for dep in code if not any(dep in (file, *file.parents) for file in files)]
    assert idle == [], f"{stage} would be rerun for nothing"


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
    if stage == "init":  # it reads the whole file; the machine's part changes no result
        assert declared == set(OmegaConf.load(ROOT / "params.yaml")) - {"runtime"}
    else:
        assert {name for name in declared if not name.startswith("run.")} == loaded
        for name in ("run.seed", "run.final_round"):
            assert (name in declared) == (name in source), name


def test_one_file_imports_dvclive() -> None:
    users = [
        path.name
        for path in (ROOT / "stages").rglob("*.py")
        if "dvclive" in {n.split(".")[0] for n in imports(path.relative_to(ROOT))}
    ]
    assert users == ["live.py"]
