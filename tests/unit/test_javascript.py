"""Runs the front end's unit tests, tests/js, in the Node.js that playwright brings along."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

from tests.helpers.paths import ROOT

FOLDER = ROOT / "tests/js"


@pytest.fixture(scope="module")
def node() -> str:
    """Return the path of Node.js."""
    return str(compute_driver_executable()[0])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.test.mjs")), ids=lambda path: path.name)
def test_javascript(node: str, path: Path) -> None:
    """Each file of JavaScript tests passes, and holds at least one test that ran."""
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) > 0, done.stdout
    assert re.search(r"^# skipped 0$", done.stdout, re.MULTILINE), done.stdout
