"""The wheel contains both packages, their static files and metadata, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest

import htmlgraph_nb
from tests.helpers.paths import ROOT
from tests.helpers.source import PACKAGES


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


def test_wheel_contains_both_packages(wheel_names: list[str]) -> None:
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


def test_wheel_contains_nothing_else(wheel_names: list[str]) -> None:
    """Tests, notebooks and generated files are not in the wheel."""
    folders = {name.partition("/")[0].rpartition(".")[2] for name in wheel_names}
    assert folders <= {"htmlgraph_nb", "htmlgraph_server", "dist-info", "data"}
    unwanted = (".pyc", ".db", ".ipynb", ".map")
    assert not [name for name in wheel_names if name.endswith(unwanted)]
    assert not [name for name in wheel_names if "test" in name.replace("/", "_").split("_")]


def test_wheel_contains_metadata(wheel_names: list[str]) -> None:
    """License, metadata and commands are in the wheel."""
    names = {name.rpartition("/")[2] for name in wheel_names if ".dist-info/" in name}
    assert {"LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt"} <= names


def test_wheel_contains_labextension(wheel_names: list[str]) -> None:
    """The extension is installed where JupyterLab searches, with the package's name and version."""
    folder = "data/share/jupyter/labextensions/htmlgraph-nb/"
    names = {name.partition(folder)[2] for name in wheel_names if folder in name}
    source = PACKAGES["htmlgraph_server"] / "labextension"
    assert names == {
        path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()
    }
    manifest = json.loads((source / "package.json").read_text(encoding="utf-8"))
    assert (manifest["name"], manifest["version"]) == ("htmlgraph-nb", htmlgraph_nb.__version__)
    assert manifest["jupyterlab"]["_build"]["load"] in names
