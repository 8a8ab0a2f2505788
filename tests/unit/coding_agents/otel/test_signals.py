"""Signals are plain, immutable values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from htmlgraph_nb.coding_agents.otel.signals import LogRecord, Point, Span


@pytest.mark.parametrize(
    "signal",
    [
        LogRecord({}, "scope", "name", {}, 0),
        Span({}, "scope", "name", {}, 0, 1, "a", "b", False),
        Point({}, "scope", "metric", {}, 1.0, 0, 1, True),
    ],
)
def test_signals_are_immutable(signal: LogRecord | Span | Point) -> None:
    """A signal can be shared between translations."""
    with pytest.raises(FrozenInstanceError):
        signal.scope = "other"  # type: ignore[misc]
