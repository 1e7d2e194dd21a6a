"""Stage code: record the code that each stage's result depends on, so that only changes to that code make it stale.

``python -m stages.code`` writes code/<stage>.json for every stage; ``python -m stages.code --why STAGE`` lists what has
changed in it since dvc.lock was written.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages.common import lock
from stages.common.sources import Sources
from worldmodels.common.checkpoint import write_bytes
from worldmodels.common.errors import one_line_errors
from worldmodels.common.orphans import ancestor
from worldmodels.common.params import UserError, load_section, read_params
from worldmodels.control.config import EvaluateConfig
from worldmodels.environment.config import EnvConfig

FOLDER = Path("code")
STAGES = ("init", "collect", "vae", "encode", "mdnrnn", "controller", "evaluate", "report")
SCORING = ("init", "evaluate")  # these also create the environment of the score
MAKES_ENVIRONMENTS = "worldmodels.environment.make"

Code = dict[str, dict[str, str]]
"""``modules``: dotted name to digest. ``packages``: installed distributions that environments come from, to version."""


def code_of(stage: str, sources: Sources) -> Code:
    """The code that a stage's result depends on: its own modules, and those of the environments it uses."""
    modules = sources.reach(f"stages.{stage}")
    packages: dict[str, str] = {}
    if MAKES_ENVIRONMENTS in modules:
        ids = [load_section("env", EnvConfig).id]
        ids += [load_section("evaluate", EvaluateConfig).env_id] * (stage in SCORING)
        origins = [origin for env_id in ids if env_id for origin in environment_modules(env_id)]
        modules = sources.reach(f"stages.{stage}", *origins)
        packages = versions(origins, sources)
    return {"modules": {name: sources.digest(name) for name in modules}, "packages": packages}


def environment_modules(env_id: str) -> list[str]:
    """The module that defines an environment: the one named in the id, or that of the registered entry point."""
    module, _, name = env_id.rpartition(":")
    if module:
        return [module]
    import gymnasium

    if name not in gymnasium.registry:
        import ale_py

        gymnasium.register_envs(ale_py)
    spec = gymnasium.registry.get(name)  # the stage init reports an unknown id
    return [str(spec.entry_point).partition(":")[0]] if spec else []


def versions(modules: list[str], sources: Sources) -> dict[str, str]:
    """Version of each installed distribution that the environments defined in ``modules`` depend on."""
    names = (name.split(".")[0] for name in _outside(modules, sources))
    tops = {"gymnasium", *names} - {"numpy"}  # numpy implements no environment
    found = {distribution for top in tops for distribution in _distributions().get(top, ())}
    return {distribution: metadata.version(distribution) for distribution in sorted(found)}


def _outside(modules: list[str], sources: Sources) -> Iterator[str]:
    """Dotted names of the external modules that ``modules``, and the project modules they reach, import.

    For environments of Gymnasium this includes what the environment imports, such as its physics engine.
    """
    own = sources.reach(*modules)
    for name in {*modules, *(imported for module in own for imported in sources.imports(module))} - set(own):
        yield name
        if name.startswith("gymnasium.envs."):
            yield from Sources(_site_packages("gymnasium")).imports(name)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _site_packages(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parents[1]


def write(sources: Sources) -> None:
    """Write code/<stage>.json for every stage."""
    for stage in STAGES:
        text = json.dumps(code_of(stage, sources), indent=2, sort_keys=True) + "\n"
        write_bytes(FOLDER / f"{stage}.json", text.encode())


def why(stage: str, sources: Sources) -> Iterator[str]:
    """One line for each round of ``stage`` in dvc.lock, and one for each change since.

    Raises:
        UserError: no such stage, it was never run, or the recorded code is no longer in the cache.
    """
    if stage not in STAGES:
        raise UserError(f"--why {stage}: no such stage; accepted: {', '.join(STAGES)}")
    now = code_of(stage, sources)
    locked = {name: entry for name, entry in _lock().items() if name.split("@")[0] == stage}
    if not locked:
        raise UserError(f"--why {stage}: dvc.lock has no run of it; `dvc repro` makes one")
    for name, entry in locked.items():
        changes = list(_differences(_locked_code(entry, stage), now))
        yield f"{name}: {'its code has not changed' if not changes else 'its code has changed'} since dvc.lock"
        yield from (f"  {change}" for change in changes)


def _lock() -> dict[str, Any]:
    path = Path("dvc.lock")
    return read_params(path)["stages"] if path.exists() else {}


def _locked_code(entry: Mapping[str, Any], stage: str) -> Code:
    """code/<stage>.json at the time the stage ran, from DVC's cache."""
    from dvc.repo import Repo

    path = (FOLDER / f"{stage}.json").as_posix()
    md5 = next((dep["md5"] for dep in entry["deps"] if dep["path"] == path), None)
    if md5 is None:
        raise UserError(f"--why {stage}: dvc.lock does not have {path} among its dependencies; run `dvc repro` once")
    file = Path(Repo().cache.local.oid_to_path(md5))
    if not file.exists():
        raise UserError(f"--why {stage}: {path} of dvc.lock is not in the cache; `dvc fetch code` brings the last one")
    return json.loads(file.read_text(encoding="utf-8"))


def _differences(before: Code, now: Code) -> Iterator[str]:
    for kind in ("modules", "packages"):
        for name in sorted({*before[kind], *now[kind]}):
            old, new = before[kind].get(name), now[kind].get(name)
            if old is None or new is None:
                yield f"{name} {'is new' if old is None else 'is gone'}"
            elif old != new:
                yield f"{name} changed" if kind == "modules" else f"{name} was {old}, is {new}"


def main() -> None:
    """Write the files, or print the answer to ``--why``."""
    parser = argparse.ArgumentParser(prog="stages.code", description=__doc__)
    parser.add_argument("--why", metavar="STAGE", help=f"what changed since dvc.lock: {', '.join(STAGES)}")
    stage = parser.parse_args().why
    sources = Sources(Path())
    with one_line_errors():
        if stage is None:
            if (pid := ancestor("dvc")) is not None:
                lock.guard(pid)
            write(sources)
        else:
            print("\n".join(why(stage, sources)))


if __name__ == "__main__":
    main()
