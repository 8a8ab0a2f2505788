"""Runs the unit tests of the front end, tests/js, in the Node.js bundled with playwright."""

from __future__ import annotations

import re
import subprocess

import pytest
from playwright._impl._driver import compute_driver_executable

from tests.helpers.paths import ROOT

FOLDER = ROOT / "tests/js"
TESTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    """Return the path of Node.js."""
    return str(compute_driver_executable()[0])


@pytest.mark.parametrize("name", TESTS)
def test_javascript(node: str, name: str) -> None:
    """Each file of JavaScript tests passes and runs at least one test."""
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(FOLDER / name)],
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
