"""notebooks/QUESTIONS.md: each of its lines runs on the sample and has an answer."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.history.quotas import QUOTA_DTYPES
from tests.helpers.paths import ROOT

PAGE = (ROOT / "notebooks" / "QUESTIONS.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| .+ \| `(.+)` \|$", PAGE, re.MULTILINE)
QUOTA = {
    "timestamp": "2026-03-02T09:00Z",
    "resets_at": "2026-03-02T13:00Z",
    "account": "claude",
    "window": "5h",
    "minutes": 300,
    "used_percent": 40.0,
    "plan": "max",
    "official": True,
    "agent_kind": "claude",
    "agent_id": "claude-4a9c1ab2",
    "source": "s",
}


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Return what the page defines: the sample, and a report of a limit."""
    quotas = pd.DataFrame([QUOTA]).assign(
        timestamp=lambda df: pd.to_datetime(df["timestamp"]),
        resets_at=lambda df: pd.to_datetime(df["resets_at"]),
    )
    quotas = quotas[list(QUOTA_DTYPES)].astype(QUOTA_DTYPES)
    return {"hg": hg, "pd": pd, "e": hg.sample_history(), "q": quotas}


def test_questions_page_lists_lines() -> None:
    """Every row of a table has a line, and all analysis functions are in one."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    headings = [line for line in rows if line in ("| question | line |", "| --- | --- |")]
    assert len(LINES) == len(rows) - len(headings) > 40
    used = set(re.findall(r"hg\.(\w+)", "".join(LINES)))
    from htmlgraph_nb import analysis

    assert set(analysis.__all__) - used == {"summary"}


@pytest.mark.parametrize("line", LINES)
def test_questions_page_line_has_an_answer(line: str, names: dict[str, Any]) -> None:
    """The line is an expression with a result that is not empty."""
    answer = eval(line, dict(names))
    assert len(answer) > 0 if hasattr(answer, "__len__") else answer == answer
