"""Runs the unit tests of the front end, tests/js, in the Node.js bundled with playwright.

It also checks that vendored files are those of their packages.
"""

from __future__ import annotations

import hashlib
import re
import subprocess

import pytest
from playwright._impl._driver import compute_driver_executable

from tests.helpers.paths import ROOT

FOLDER = ROOT / "tests/js"
TESTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.test.mjs"))

VENDORED = {
    "chart.umd.min.js": "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2",
}
"""SHA-256 of each file as its package has it; see static/vendor/README.md."""


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


def test_vendored_files_are_unchanged() -> None:
    """Each has the hash of the file in its package, a licence beside it and a line in README."""
    folder = ROOT / "server/htmlgraph_server/static/vendor"
    assert {path.name for path in folder.glob("*.min.js")} == set(VENDORED)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for name, digest in VENDORED.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        assert name in readme
        assert (folder / f"{name.partition('.')[0]}.LICENSE.md").exists()
