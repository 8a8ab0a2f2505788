"""The wheel holds both packages, their static files and metadata, and nothing else."""

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
