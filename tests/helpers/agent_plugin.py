"""Install packages that add agents into a folder, as pip does."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.paths import ROOT

EXAMPLE = ROOT / "tests/payloads/agent_plugin"
"""The example of notebooks/ADD_AGENT.md."""


def install_example(site: Path) -> None:
    """Install the example package into a folder for ``PYTHONPATH``."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "htmlgraph_nova", site / "htmlgraph_nova")
    add_distribution(site, project["name"], project["entry-points"]["htmlgraph_nb.agents"])


def install_module(site: Path, package: str, text: str, agents: Mapping[str, str]) -> None:
    """Install a package of one module.

    Args:
        package: name of the package; its module has underscores instead of hyphens.
        agents: name of an entry point → its value.
    """
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{package.replace('-', '_')}.py").write_text(text)
    add_distribution(site, package, agents)


def add_distribution(site: Path, package: str, agents: Mapping[str, str]) -> None:
    """Write the metadata of an installed package."""
    folder = site / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in agents.items()]
    (folder / "entry_points.txt").write_text("\n".join(["[htmlgraph_nb.agents]", *lines, ""]))
