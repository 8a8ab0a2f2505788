"""tests.lowest: the requirements of the environment with the lowest declared versions."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.environment import EnvironmentFailed
from tests.helpers.paths import ROOT
from tests.lowest import LIBRARIES, PATHS, requirements

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_requirements_pin_the_lowest_versions() -> None:
    """Each library is pinned to what pyproject.toml has behind ``>=``."""
    pinned = dict(one.split("==") for one in requirements(PROJECT) if "==" in one)
    assert set(LIBRARIES) <= set(pinned)
    for name, version in pinned.items():
        assert f'"{name}>={version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_requirements_name_libraries_without_a_lowest_version() -> None:
    """Otherwise the environment would have the newest."""
    kept = [one for one in PROJECT["project"]["dependencies"] if not one.startswith("pandas")]
    project = {**PROJECT, "project": {**PROJECT["project"], "dependencies": [*kept, "pandas"]}}
    with pytest.raises(EnvironmentFailed, match=r"expected a lowest version as >=1\.2 of pandas$"):
        requirements(project)


def test_paths_exist() -> None:
    """pytest would stop at a missing one."""
    assert [path for path in PATHS if not (ROOT / path).exists()] == []
