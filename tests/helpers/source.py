"""The modules of both packages as text and syntax trees, for tests of the layout."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGES = {
    "htmlgraph_nb": ROOT / "htmlgraph_nb",
    "htmlgraph_server": ROOT / "server/htmlgraph_server",
}


def modules_of(package: str) -> dict[str, Path]:
    """Return the path of each importable module of a package, by dotted name."""
    folder = PACKAGES[package]
    modules = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        if parts[-1] != "__main__":
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = {name: path for package in PACKAGES for name, path in modules_of(package).items()}


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def import_time_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when the module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from import_time_statements(node.orelse)
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from import_time_statements(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            yield from import_time_statements(handler.body)


def imports_of(module: str, *, everywhere: bool = False) -> set[str]:
    """Return the full names that a module imports.

    Args:
        everywhere: include imports inside functions and for type checkers.
    """
    path = MODULES[module]
    tree = tree_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(tree) if everywhere else import_time_statements(tree.body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                names.add(name if name in MODULES else base)
    return names


def defined_names(path: Path) -> set[str]:
    """Return the names that a module defines at its top level, imports apart."""
    names = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                name.id
                for target in targets
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            }
    return names
