"""The table of what is seen, in words."""

from __future__ import annotations

import json

from htmlgraph_nb.agent_check.coverage_table import (
    Accuracy,
    CoverageRow,
    accuracy_text,
    coverage_rows,
    coverage_sentence,
    measured_accuracy,
)
from htmlgraph_nb.coding_agents.coverage.declaration import FACTS, NOT_READ, NOT_REPORTED
from htmlgraph_nb.coding_agents.registry import AGENTS

FACT_VALUES = {**dict.fromkeys(FACTS, ("files",)), "quota": NOT_REPORTED, "branch": NOT_READ}


def test_coverage_rows_are_all_agents() -> None:
    """Each agent of the registry declares its coverage; only those were measured."""
    rows = coverage_rows()
    assert [row.agent for row in rows] == list(AGENTS)
    assert set(measured_accuracy()) <= set(AGENTS)
    assert json.loads(json.dumps([row.to_dict() for row in rows]))[0]["agent"] == "claude"


def test_coverage_sentence_keeps_three_values_apart() -> None:
    """Seen, not reported and not read yet."""
    row = CoverageRow("x", "X", "1.0", FACT_VALUES, None)
    assert coverage_sentence(row) == (
        "seen: status, waits, tools, tokens, dollars, title, context, subagents, ends; "
        "not reported by it: quota; not read yet: branch; not measured (tried with 1.0)"
    )


def test_accuracy_text_counts_phases_and_recordings() -> None:
    """Without phases or totals it leaves them out."""
    assert accuracy_text(Accuracy(phases=9, met=8, totals=3, equal=2)) == (
        "status as expected in 8 of 9 recorded phases, tokens equal in 2 of 3 recordings"
    )
    assert accuracy_text(Accuracy()) == accuracy_text(None) == "not measured"
