"""notebooks/CASES.md names tests that exist."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.helpers.paths import ROOT

PAGE = (ROOT / "notebooks" / "CASES.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    """Return the cells of all tables, without their headers."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines]
    return [row for row in cells if row[0] not in ("case", "---")]


def test_cases_page_has_a_value_and_a_test_for_each_case() -> None:
    """A test has a node id of pytest."""
    assert len(rows()) > 60
    for row in rows():
        assert len(row) == 3, row
        assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+(\[.+\])?`", row[2]), row


def test_cases_page_names_tests_that_exist() -> None:
    """As pytest collects them; an id without parameters stands for all of them."""
    named = {row[2].strip("`") for row in rows()}
    files = sorted({test.partition("::")[0] for test in named})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:]
    collected = set(done.stdout.splitlines())
    collected |= {re.sub(r"\[.*", "", test) for test in collected}
    assert sorted(named - collected) == []
