"""Rules of the code base: layout, names, words, and which module may import which.

Modules are found in the file system, so that a new one is checked without being named here.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.source import (
    MODULES,
    PACKAGES,
    defined_names,
    imports_of,
    modules_of,
    tree_of,
)

MAX_ROOT_MODULES = 8
MAX_FOLDER_MODULES = 16
MAX_LINES = 400

FACADES = {"htmlgraph_nb", "htmlgraph_nb.coding_agents", "htmlgraph_server"}
"""They import public names lazily from everywhere; no module of the packages imports them back."""
REGISTRY = "htmlgraph_nb.coding_agents.registry"
"""Lists the agents' folders, which import what agents share: a node of its own."""
CORE = [name for name in MODULES if name.startswith("htmlgraph_nb.core.")]
PURE = [*CORE, "htmlgraph_nb.errors", "htmlgraph_nb.html_card"]
STANDARD_LIBRARY_ONLY = [
    name
    for name in MODULES
    if name in (*PURE, "htmlgraph_nb", "htmlgraph_nb.paths", "htmlgraph_nb.hook")
    or name.startswith("htmlgraph_nb.coding_agents")
]
SAME_STEM_ALLOWED = ("htmlgraph_nb.coding_agents.",)
NAMES_ALLOWED = {"logger", "main", "T"}

BANNED = (
    "told telling hear hears heard wish wishes anew whom whoever shall mend mended begun".split()
)
BANNED_PHRASES = ("be it", "slip of the pen")
_WORD = re.compile(r"[A-Za-z][a-z]*|[A-Z]+(?![a-z])")
_BANNED = re.compile(rf"\b(?:{'|'.join([*BANNED, *BANNED_PHRASES])})\b", re.IGNORECASE)
_NO_UNIT = (
    "a an the what who whose whatever nothing nobody everything each every no none one two all "
    "some any where without with when while if only it its they this that there not neither of"
).split()

SPELLED = ("htmlgraph_nb", "server", "tests", "notebooks")

FORBIDDEN = {
    "htmlgraph_nb": {"tornado", "htmlgraph_server"},
    "htmlgraph_server": {"pandas", "IPython", "ipywidgets", "matplotlib"},
}
"""What no module of a package imports: an agent's process not the server, and the reverse."""

_LOADED_MODULES = """
import importlib, json, sys
loaded = {}
for name in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(name)
    loaded[name] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""


def product_files() -> list[Path]:
    """Return all Python and JavaScript files of both packages."""
    files = (path for folder in PACKAGES.values() for path in folder.rglob("*.*"))
    return sorted(path for path in files if path.suffix in (".py", ".js"))


def test_files() -> list[Path]:
    """Return all Python and JavaScript files of the tests, recorded payloads apart."""
    return sorted(
        path
        for suffix in ("*.py", "*.mjs")
        for path in (ROOT / "tests").rglob(suffix)
        if "payloads" not in path.parts
    )


# test_files is a helper, not a test.
test_files.__test__ = False  # type: ignore[attr-defined]


def short(path: Path) -> str:
    """Return a path relative to the repository."""
    return path.relative_to(ROOT).as_posix()


# Layout


@pytest.mark.parametrize("package", PACKAGES)
def test_layout_root_is_small(package: str) -> None:
    """The root of a package holds few modules."""
    modules = sorted(path.name for path in PACKAGES[package].glob("*.py"))
    assert len(modules) <= MAX_ROOT_MODULES, modules


def test_layout_folders_are_small() -> None:
    """No folder holds more modules than a reader can take in."""
    folders = defaultdict(list)
    for path in product_files():
        if path.name not in ("__init__.py", "__main__.py"):
            folders[path.parent].append(path.name)
    sizes = {short(folder): len(names) for folder, names in folders.items()}
    assert {name: n for name, n in sizes.items() if n > MAX_FOLDER_MODULES} == {}


def test_layout_modules_are_short() -> None:
    """No module of the packages has more than MAX_LINES lines."""
    lengths = {short(path): path.read_bytes().count(b"\n") for path in product_files()}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize("folder", ["core", "coding_agents", "storage"])
def test_layout_each_module_has_its_tests(folder: str) -> None:
    """tests/unit or tests/integration has test_<module>.py in the folder of the same name."""
    missing = []
    for path in sorted((PACKAGES["htmlgraph_nb"] / folder).rglob("*.py")):
        below = path.relative_to(PACKAGES["htmlgraph_nb"])
        # What an agent declares is checked by the test of the declaration.
        if path.name in ("__init__.py", "coverage.py"):
            continue
        name = below.with_name(f"test_{path.name}")
        if not any((ROOT / "tests" / layer / name).exists() for layer in ("unit", "integration")):
            missing.append(below.as_posix())
    assert missing == []


# Names


def test_names_no_two_modules_share_a_stem() -> None:
    """A module is found by its name; only the folders of the agents repeat each other's."""
    stems = defaultdict(list)
    for module, path in MODULES.items():
        agent_folder = module.startswith(SAME_STEM_ALLOWED) and module.count(".") > 2
        if path.name != "__init__.py" and not agent_folder:
            stems[path.stem].append(module)
    assert {stem: names for stem, names in stems.items() if len(names) > 1} == {}


def test_names_public_names_are_unique() -> None:
    """No two modules define the same public name; only the folders of the agents may."""
    owners = defaultdict(list)
    for module, path in MODULES.items():
        if module.startswith(SAME_STEM_ALLOWED) and module.count(".") > 2:
            continue
        for name in defined_names(path) - NAMES_ALLOWED:
            if not name.startswith("_"):
                owners[name].append(module)
    assert {name: where for name, where in owners.items() if len(where) > 1} == {}


def test_names_subpackages_hide_no_public_name() -> None:
    """Importing a subpackage sets an attribute of the package, which would hide the name."""
    import htmlgraph_nb

    modules = {name.split(".")[1] for name in MODULES if name.startswith("htmlgraph_nb.")}
    assert not modules & set(htmlgraph_nb.__all__)


def test_names_tests_begin_with_their_unit() -> None:
    """The name of a test begins with what it tests, not with an article or a pronoun."""
    bad = []
    for path in test_files():
        if path.suffix != ".py" or not path.name.startswith("test_"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                word = node.name.removeprefix("test_").partition("_")[0]
                if node.name.startswith("test_") and word in _NO_UNIT:
                    bad.append(f"{short(path)}::{node.name}")
    assert bad == []


# Words


def words_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each identifier, string and comment of a Python file."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], " ".join(_WORD.findall(token.string))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string.replace("_", " ")


def words_of_text(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line, identifiers split into their words."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        split = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", line)
        yield number, split


def prose_files() -> list[Path]:
    """Return the documents and notebooks of the repository."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("server/*.md"), *ROOT.glob("notebooks/*.*")])


def test_words_banned_words_are_absent() -> None:
    """Private vocabulary stays out of identifiers, docstrings, messages, tests and documents."""
    bad = []
    own = Path(__file__)
    for path in [*product_files(), *test_files(), *prose_files()]:
        if path == own or path.suffix == ".png":
            continue
        reader = words_of_python if path.suffix == ".py" else words_of_text
        bad += [
            f"{short(path)}:{line}: {match[0]}"
            for line, text in reader(path)
            for match in _BANNED.finditer(text)
        ]
    assert bad == []


def test_words_are_spelled() -> None:
    """codespell finds no misspelling in code, tests and documents."""
    documents = sorted(path.name for path in ROOT.glob("*.md"))
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *SPELLED, *documents],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Errors and logs


def test_errors_are_defined_in_one_module() -> None:
    """Every exception class that leaves its module is defined in an errors.py."""
    bad = []
    for module, path in MODULES.items():
        if path.stem == "errors":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                if any(re.search(r"(Exception|Error)$", base) for base in bases):
                    bad.append(f"{module}.{node.name}")
    assert bad == []


def test_logs_loggers_are_named_after_their_module() -> None:
    """``logger = logging.getLogger(__name__)`` is the only form.

    The Jupyter extension moves the loggers of both packages below Jupyter's.
    """
    bad = []
    for module, path in MODULES.items():
        assigned = {}
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Assign):
                assigned[node.value] = ast.unparse(node.targets[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger"):
                names = [ast.unparse(argument) for argument in node.args]
                if module == "htmlgraph_server.jupyter.extension" and names == ["package"]:
                    continue
                if names != ["__name__"] or assigned.get(node) != "logger":
                    bad.append(f"{module}:{node.lineno}")
    assert bad == []


# Imports


def folder_of(module: str) -> str:
    """Return the node of a module in the graph of folders: its folder, in the root itself."""
    if module == REGISTRY:
        return module
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return module if package in PACKAGES else package


def check_acyclic(graph: dict[str, set[str]]) -> None:
    """Fail with the names of a cycle, if there is one."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_modules_are_acyclic() -> None:
    """Imports run one way, those inside functions and for type checkers included."""
    check_acyclic(
        {
            module: imports_of(module, everywhere=True) & set(MODULES) - {module, *FACADES}
            for module in MODULES
            if module not in FACADES
        }
    )


def test_imports_folders_are_acyclic() -> None:
    """Folders import one way, imports inside functions and for type checkers included."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        if module in FACADES:
            continue
        for imported in imports_of(module, everywhere=True) & set(MODULES) - FACADES:
            if folder_of(imported) != folder_of(module):
                graph[folder_of(module)].add(folder_of(imported))
    check_acyclic(graph)


@pytest.mark.parametrize("module", MODULES)
def test_imports_name_nothing_forbidden(module: str) -> None:
    """Not even inside a function or for types does a module import what it must not load."""
    named = {name.partition(".")[0] for name in imports_of(module, everywhere=True)}
    assert not named & FORBIDDEN[module.partition(".")[0]]


def test_imports_core_stands_alone() -> None:
    """The core imports itself, errors and html_card, and nothing with sockets, threads or files."""
    allowed = {*PURE, "htmlgraph_nb.core"}
    for module in CORE:
        names = imports_of(module, everywhere=True)
        own = {name for name in names if name.partition(".")[0] in PACKAGES}
        assert own <= allowed, module
        assert not names & {"socket", "sqlite3", "asyncio", "threading", "os", "time"}, module


@cache
def loaded_in_turn(*modules: str) -> dict[str, frozenset[str]]:
    """Import modules in one fresh interpreter; return what each adds to the loaded modules."""
    run = subprocess.run(
        [sys.executable, "-c", _LOADED_MODULES, *modules],
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


def test_loading_pure_modules_load_the_standard_library_only() -> None:
    """The core, the coding agents and the hook run where nothing is installed."""
    for module, loaded in loaded_in_turn(*STANDARD_LIBRARY_ONLY).items():
        assert tops(loaded) - sys.stdlib_module_names - {"htmlgraph_nb"} == set(), module


def test_loading_core_opens_nothing() -> None:
    """The pure core loads neither sockets nor threads nor a database."""
    for module in CORE:
        assert not loaded_by(module) & {"socket", "sqlite3", "asyncio", "threading"}, module


def test_loading_the_package_loads_none_of_its_modules() -> None:
    """``import htmlgraph_nb`` is cheap: names are loaded on first use."""
    own = {name for name in loaded_by("htmlgraph_nb") if name.startswith("htmlgraph_nb")}
    assert own == {"htmlgraph_nb"}


def test_loading_the_hook_is_cheap() -> None:
    """The hook, which runs at every tool call, loads neither asyncio nor importlib.metadata."""
    assert not loaded_by("htmlgraph_nb.hook") & {"asyncio", "importlib.metadata"}


@pytest.mark.parametrize("package", PACKAGES)
def test_loading_neither_side_loads_libraries_of_the_other(package: str) -> None:
    """Not even by way of another package: the first module that does so is named."""
    loaded = loaded_in_turn(*modules_of(package))
    bad = {name: tops(new) & FORBIDDEN[package] for name, new in loaded.items()}
    assert not {name: libraries for name, libraries in bad.items() if libraries}
