"""Run the examples in the docstrings of the analysis functions."""

from __future__ import annotations

import doctest
import importlib
from typing import Any

import pandas as pd
import pytest

from htmlgraph_nb import analysis

COLUMNS = (
    "timestamp agent_id event_type session_id tool_name feature_id model status "
    "input_tokens cache_read_tokens output_tokens cost_tokens duration_ms"
).split()
_A = ("claude-1", "s-1", "feat-1", "claude-opus-4-5")
_B = ("codex-1", "s-2", "feat-1", "my-model")
_ROWS: list[tuple[Any, ...]] = [
    # minute, agent, type, tool, status, tokens (input, cache read, output), milliseconds
    (0, _A, "prompt", None, None, None, None),
    (0.5, _A, "tool_execute", "Read", "ok", None, 200),
    (1, _A, "permission_request", "Bash", None, None, None),
    (2, _B, "prompt", None, None, None, None),
    (2.5, _B, "tool_execute", "Read", "ok", None, None),
    (3, _A, "tool_execute", "Bash", "ok", None, 10_000),
    (3.5, _A, "tool_execute", "Edit", "ok", None, 400),
    (4, _A, "completion", None, None, (1000, 4000, 200), None),
    (4, _A, "stop", None, None, None, None),
    (4.5, _B, "tool_error", "Bash", "error", None, 30_000),
    (5, _A, "session_end", None, None, None, None),
    (5, _B, "completion", None, None, (500, None, 100), None),
    (5, _B, "stop", None, None, None, None),
]


def example() -> pd.DataFrame:
    """Return ten minutes of events of two agents."""
    rows = []
    for minute, who, kind, tool, status, tokens, took in _ROWS:
        agent_id, session_id, feature_id, model = who
        plain, read, output = tokens or (None, None, None)
        total = sum(count or 0 for count in tokens) if tokens else None
        at = pd.Timestamp("2026-01-14T14:50Z") + pd.Timedelta(minutes=minute)
        row = (at, agent_id, kind, session_id, tool, feature_id, model, status)
        rows.append((*row, plain, read, output, total, took))
    names = ["agent_id", "event_type", "session_id", "tool_name", "feature_id", "model", "status"]
    whole = [name for name in COLUMNS if name.endswith(("tokens", "ms"))]
    return pd.DataFrame(rows, columns=COLUMNS).astype(
        {**dict.fromkeys(names, "category"), **dict.fromkeys(whole, "Int64")}
    )


@pytest.mark.parametrize("name", analysis.__all__)
def test_docstring_example(name: str) -> None:
    """The example of each function shows its actual result."""
    function = getattr(analysis, name)
    module = importlib.import_module(function.__module__)
    flags = doctest.NORMALIZE_WHITESPACE
    (test,) = doctest.DocTestFinder(recurse=False).find(
        function, name, module=module, globs={**vars(module), "example": example}
    )
    assert test.examples
    with pd.option_context("display.width", 200, "display.max_columns", 20):
        failures: list[str] = []
        doctest.DocTestRunner(optionflags=flags).run(test, out=failures.append)
    assert not failures, "".join(failures)
