"""What code a result depends on: the project's modules that a program reaches by import, each with a digest of what it
does. Comments, docstrings and layout are no part of the digest.

Sources are read, never imported: it takes a fraction of a second and runs none of them.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# "package.module:Class", as in gymnasium.register
_ENTRY_POINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Sources:
    """The modules that lie in one folder.

    Args:
        root: the folder that imports are resolved in: the project's, or one of installed packages.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = cache(self._file)
        self.imports = cache(self._imports)
        self.digest = cache(self._digest)

    def reach(self, *modules: str) -> list[str]:
        """Dotted names of all modules in ``root`` that importing ``modules`` can lead to, these included, sorted.

        Imports inside functions count, those for type checkers do not. A string that looks like an entry point counts
        as an import of its module.
        """
        found: set[str] = set()
        todo = list(modules)
        while todo:
            parts = todo.pop().split(".")
            names = [".".join(parts[: end + 1]) for end in range(len(parts))]  # Python imports the packages first
            new = [name for name in names if name not in found and self.file(name)]
            found.update(new)
            todo += [imported for name in new for imported in self.imports(name)]
        return sorted(found)

    def _file(self, name: str) -> Path | None:
        """The file of a module; None where it is not in ``root``."""
        place = self.root.joinpath(*name.split("."))
        candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
        return next((path for path in candidates if path.is_file()), None)

    def _imports(self, name: str) -> list[str]:
        """Dotted names of what a module imports; of ``from a import b`` both a and a.b, which may be a module."""
        path = self.file(name)
        if path is None:
            return []
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        return list(_imported(_parse(path), package))

    def _digest(self, name: str) -> str:
        """SHA-256 of what a module does, the same whichever version of Python reads it."""
        path = self.file(name)
        if path is None:
            raise ValueError(f"{name} is not in {self.root}")
        return hashlib.sha256(_canonical(_without_docstrings(_parse(path))).encode()).hexdigest()


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


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
    """The package that a relative import of ``level`` dots starts from; nothing for an absolute one."""
    parts = package.split(".")
    return parts[: len(parts) + 1 - level] if level else []


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest
    return tree


def _canonical(value: object) -> str:
    """A tree as text. Fields without content are left out: newer versions of Python have more of them."""
    if isinstance(value, ast.AST):
        fields = [f"{name}={_canonical(child)}" for name, child in ast.iter_fields(value) if child not in (None, [])]
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    return repr(value)
