"""The shape of the house: who may load what, which way imports run, and what the wheel holds.

Modules are found in the file system, so that a new one is checked without being named here.
"""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import htmlgraph_nb
from tests.helpers.paths import ROOT

PACKAGES = {
    "htmlgraph_nb": ROOT / "htmlgraph_nb",
    "htmlgraph_server": ROOT / "server/htmlgraph_server",
}
FLOOR = (
    "errors paths core.timestamps core.validation core.ids core.model core.agent_state "
    "core.reducer core.status_rules core.explanation core.roster core.protocol core.changes "
    "core.mirror core.activity core.dedup pricing.model_price widget.settings"
).split()
"""The pure core: standard library only, and no module above it."""

_REPORT = """
import importlib, json, sys
loaded = {}
for name in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(name)
    loaded[name] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""


def modules_of(package: str) -> dict[str, Path]:
    """Return the importable modules of a package by name."""
    folder = PACKAGES[package]
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        if parts[-1] != "__main__":
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


NOTEBOOK_SIDE = modules_of("htmlgraph_nb")
SERVER_SIDE = modules_of("htmlgraph_server")
MODULES = {**NOTEBOOK_SIDE, **SERVER_SIDE}
STANDARD_LIBRARY_ONLY = [
    name
    for name in NOTEBOOK_SIDE
    if name in ("htmlgraph_nb", "htmlgraph_nb.hook", *(f"htmlgraph_nb.{one}" for one in FLOOR))
    or name.startswith("htmlgraph_nb.coding_agents")
]


@cache
def loaded_in_turn(*modules: str) -> dict[str, frozenset[str]]:
    """Import modules in one fresh interpreter; return what each loads that was not there yet."""
    run = subprocess.run(
        [sys.executable, "-c", _REPORT, *modules],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=110,
    )
    assert run.returncode == 0, run.stderr
    return {name: frozenset(loaded) for name, loaded in json.loads(run.stdout).items()}


def loaded_by(module: str) -> frozenset[str]:
    """Return the modules that importing this one loads in a fresh interpreter."""
    return loaded_in_turn(module)[module]


def tops(modules: frozenset[str]) -> set[str]:
    """Return the top-level packages of these modules."""
    return {name.partition(".")[0] for name in modules}


def test_the_modules_are_found() -> None:
    """The checks below see both packages and every room of the floor."""
    assert {"htmlgraph_nb.coding_agents", "htmlgraph_nb.hook", "htmlgraph_server.hub.hub"} <= set(
        MODULES
    )
    assert {f"htmlgraph_nb.{one}" for one in FLOOR} <= set(STANDARD_LIBRARY_ONLY)


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_loads_the_standard_library_only(module: str) -> None:
    """The floor, the connectors and the hook run where nothing is installed."""
    others = tops(loaded_by(module)) - sys.stdlib_module_names - {"htmlgraph_nb"}
    assert others == set()


@pytest.mark.parametrize("room", FLOOR)
def test_floor_stands_on_nothing_above_it(room: str) -> None:
    """A module of the floor loads no module of the project but the floor's."""
    own = {name for name in loaded_by(f"htmlgraph_nb.{room}") if name.startswith("htmlgraph_nb")}
    floor = {f"htmlgraph_nb.{one}" for one in FLOOR}
    assert own <= {"htmlgraph_nb", *floor, *(name.rpartition(".")[0] for name in floor)}


@pytest.mark.parametrize("room", FLOOR)
def test_floor_opens_nothing(room: str) -> None:
    """The pure core loads neither sockets nor threads nor a database."""
    assert not loaded_by(f"htmlgraph_nb.{room}") & {"socket", "sqlite3", "asyncio", "threading"}


def test_importing_the_package_loads_nothing_else_of_it() -> None:
    """``import htmlgraph_nb`` loads none of its modules: names are loaded on first use."""
    own = {name for name in loaded_by("htmlgraph_nb") if name.startswith("htmlgraph_nb")}
    assert own == {"htmlgraph_nb"}


def test_hook_loads_little() -> None:
    """The hook, which runs at every tool call, loads neither asyncio nor importlib.metadata."""
    slow = {"asyncio", "importlib.metadata"}
    assert not loaded_by("htmlgraph_nb.hook") & slow


FORBIDDEN = {
    "htmlgraph_nb": {"tornado", "htmlgraph_server"},
    "htmlgraph_server": {"pandas", "IPython", "ipywidgets", "matplotlib"},
}
"""What no module of a package loads: a notebook or an agent not the server, and the other way."""


@pytest.mark.parametrize("package", PACKAGES)
def test_neither_side_loads_the_libraries_of_the_other(package: str) -> None:
    """Not even by way of another package: the first module that does so is named."""
    loaded = loaded_in_turn(*modules_of(package))
    found = {name: tops(new) & FORBIDDEN[package] for name, new in loaded.items()}
    assert not {name: bad for name, bad in found.items() if bad}


@pytest.mark.parametrize("module", MODULES)
def test_no_forbidden_import_in_any_place(module: str) -> None:
    """Not even inside a function or for types does a module name what it must not load."""
    named = {name.partition(".")[0] for name in imports_of(module, everywhere=True)}
    assert not named & FORBIDDEN[module.partition(".")[0]]


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when the module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.orelse)
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def imports_of(module: str, *, everywhere: bool = False) -> set[str]:
    """Return the full names that a module imports, at import time or everywhere in its text."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree) if everywhere else statements(tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in MODULES else base)
    return found


def test_imports_are_read_from_the_text() -> None:
    """The reader of imports sees relative ones, and tells import time from later."""
    assert "htmlgraph_nb.core.model" in imports_of("htmlgraph_nb.core.roster")
    assert "htmlgraph_nb.core.protocol" in imports_of("htmlgraph_server.hub.published_state")
    assert imports_of("htmlgraph_nb") == {"__future__", "importlib", "typing"}
    assert "htmlgraph_nb.presence" in imports_of("htmlgraph_nb", everywhere=True)


def test_no_import_cycles() -> None:
    """Imports run one way: the modules of both packages can be put in order."""
    graph = {module: imports_of(module) & set(MODULES) - {module} for module in MODULES}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert order.index("htmlgraph_nb.errors") < order.index("htmlgraph_nb.core.model")


@pytest.mark.parametrize("name", htmlgraph_nb.__all__)
def test_public_name_resolves(name: str) -> None:
    """Each public name is there, is listed by dir(), and is the object of its module."""
    assert name in dir(htmlgraph_nb)
    value = getattr(htmlgraph_nb, name)
    if name != "__version__":
        home = importlib.import_module(value.__module__)
        assert getattr(home, name) is value
        assert value.__doc__


def test_public_names_are_typed() -> None:
    """What is loaded on first use is declared to type checkers under the same names."""
    tree = ast.parse(MODULES["htmlgraph_nb"].read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.asname
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared | {"__version__"} == set(htmlgraph_nb.__all__)


def test_unknown_public_name() -> None:
    """A name that the package does not have is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="'htmlgraph_nb' has no attribute 'AgentGird'"):
        htmlgraph_nb.AgentGird  # noqa: B018


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and return the names in it."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    (wheel,) = folder.glob("htmlgraph_nb-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_holds_both_packages(wheel_names: list[str]) -> None:
    """Every module, static file and type marker of both packages is in the wheel."""
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {
        "htmlgraph_nb/static/grid/host/index.js",
        "htmlgraph_server/static/index.html",
    } <= expected
    assert {"htmlgraph_nb/py.typed", "htmlgraph_server/py.typed"} <= expected
    assert expected - set(wheel_names) == set()


def test_wheel_holds_nothing_else(wheel_names: list[str]) -> None:
    """Neither tests nor notebooks nor what running left behind is in the wheel."""
    places = {name.partition("/")[0].rpartition(".")[2] for name in wheel_names}
    assert places <= {"htmlgraph_nb", "htmlgraph_server", "dist-info", "data"}
    left_over = (".pyc", ".db", ".ipynb", ".map")
    assert not [name for name in wheel_names if name.endswith(left_over)]
    assert not [name for name in wheel_names if "test" in name.replace("/", "_").split("_")]


def test_wheel_has_its_papers(wheel_names: list[str]) -> None:
    """Licence, metadata and commands are in the wheel."""
    papers = {name.rpartition("/")[2] for name in wheel_names if ".dist-info/" in name}
    assert {"LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt"} <= papers


def test_wheel_has_the_extension_of_jupyterlab(wheel_names: list[str]) -> None:
    """Installing puts it where JupyterLab looks, under the name and version of the package."""
    place = "data/share/jupyter/labextensions/htmlgraph-nb/"
    found = {name.partition(place)[2] for name in wheel_names if place in name}
    source = PACKAGES["htmlgraph_server"] / "labextension"
    assert found == {
        path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()
    }
    described = json.loads((source / "package.json").read_text(encoding="utf-8"))
    assert (described["name"], described["version"]) == ("htmlgraph-nb", htmlgraph_nb.__version__)
    assert described["jupyterlab"]["_build"]["load"] in found
