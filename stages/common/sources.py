"""Static import analysis: the project modules that a program reaches by import, and a digest of each module's code.

Comments, docstrings and layout do not affect the digest. Sources are parsed, never imported: this takes a fraction of a
second and executes none of them.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from worldmodels.common.params import UserError

# "package.module:Class", as in gymnasium.register
_ENTRY_POINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Sources:
    """The modules in one folder.

    Args:
        root: the folder in which imports are resolved: the project's, or one of installed packages.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = cache(self._file)
        self.imports = cache(self._imports)
        self.digest = cache(self._digest)

    def reach(self, *modules: str) -> list[str]:
        """Sorted dotted names of all modules in ``root`` that importing ``modules`` can reach, including ``modules``.

        Imports inside functions count; imports under ``TYPE_CHECKING`` do not. A string that looks like an entry point
        counts as an import of its module.
        """
        found: set[str] = set()
        todo = list(modules)
        while todo:
            parts = todo.pop().split(".")
            names = [".".join(parts[: end + 1]) for end in range(len(parts))]  # Python imports parent packages first
            new = [name for name in names if name not in found and self.file(name)]
            found.update(new)
            todo += [imported for name in new for imported in self.imports(name)]
        return sorted(found)

    def _file(self, name: str) -> Path | None:
        """The file of a module; None if it is not in ``root``."""
        place = self.root.joinpath(*name.split("."))
        candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
        return next((path for path in candidates if path.is_file()), None)

    def _imports(self, name: str) -> list[str]:
        """Dotted names that a module imports; for ``from a import b`` both a and a.b, since a.b may be a module."""
        path = self.file(name)
        if path is None:
            return []
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        return list(_imported(_parse(path), package))

    def _digest(self, name: str) -> str:
        """SHA-256 of a module's code, independent of the Python version that parses it."""
        path = self.file(name)
        if path is None:
            raise ValueError(f"{name} is not in {self.root}")
        return hashlib.sha256(_canonical(_without_docstrings(_parse(path))).encode()).hexdigest()


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}; correct it and run again") from None


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    todo = [tree]
    while todo:
        node = todo.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                todo += node.orelse
                continue
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                module = ".".join([*_ancestors(package, node.level), *([node.module] if node.module else [])])
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Constant(value=str() as text) if _ENTRY_POINT.fullmatch(text):
                yield text.partition(":")[0]
        todo += ast.iter_child_nodes(node)


def _ancestors(package: str, level: int) -> list[str]:
    """The package from which a relative import of ``level`` dots starts; empty for an absolute import."""
    parts = package.split(".")
    return parts[: len(parts) + 1 - level] if level else []


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree without statements that are only a string, which do nothing: docstrings, of attributes too."""
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(node, name, [child for child in value if not _is_docstring(child)])
    return tree


def _is_docstring(node: object) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _canonical(value: object) -> str:
    """A tree as text. Empty fields are omitted, since newer Python versions add fields."""
    if isinstance(value, ast.AST):
        fields = [f"{name}={_canonical(child)}" for name, child in ast.iter_fields(value) if child not in (None, [])]
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    return repr(value)
