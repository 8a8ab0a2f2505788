"""notebooks/CASES.md and server/FAULTS.md name tests that exist."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

PAGES = {"notebooks/CASES.md": (60, 3), "server/FAULTS.md": (20, 5)}
"""Page → the least number of its rows, and the number of columns; the last column is the test."""
NODE_ID = re.compile(r"`tests/[\w/]+\.py(::test_\w+(\[.+\])?)?`")


def rows(page: str) -> list[list[str]]:
    """Return the cells of all tables of a page, without their headers."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line.startswith("| ")]
    cells = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines]
    return [row for row in cells if row[0] not in ("case", "fault", "---")]


@pytest.mark.parametrize("page", PAGES)
def test_cases_page_has_a_value_and_a_test_for_each_case(page: str) -> None:
    """A test is a node id of pytest: a test, or a file."""
    least, n_columns = PAGES[page]
    assert len(rows(page)) > least
    for row in rows(page):
        assert len(row) == n_columns, row
        assert NODE_ID.fullmatch(row[-1]), row


def test_cases_page_names_tests_that_exist() -> None:
    """As pytest collects them; an id without parameters stands for all of them."""
    named = {row[-1].strip("`") for page in PAGES for row in rows(page)}
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
    assert sorted(named - collected - {*files}) == []
