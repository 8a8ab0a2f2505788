"""Spans and session files of one session of a coding agent agree, in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.otel.span_events import SpanTranslator
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.framework_spans import PAYLOADS, RECEIVED, spans_of

LIMITS = Limits(idle_timeout_s=0, offline_timeout_s=0, forget_after_s=0)


def events_of_file() -> list[Event]:
    """Return the events of the recorded session file of Copilot CLI."""
    reader = AGENTS["copilot"].session_reader("/session-state/1eaf9d7c/events.jsonl")
    lines = (PAYLOADS / "copilot-session.jsonl").read_bytes().splitlines(keepends=True)
    return [*(event for line in lines for event in reader.feed(line)), *reader.finish()]


def events_of_spans() -> list[Event]:
    """Return the events of the spans of the same session."""
    translator = SpanTranslator()
    return [
        event
        for span in spans_of("copilot.jsonl")
        for event in translator.translate(span, [], received_at=RECEIVED, now=0.0)
    ]


@pytest.mark.parametrize("order", ["file", "spans", "file spans", "spans file", "spans spans file"])
def test_spans_and_session_file_count_once(tmp_path: Path, order: str) -> None:
    """Five completions and three calls of tools, in any order of arrival."""
    sources = {"file": events_of_file, "spans": events_of_spans}
    with PresenceManager(str(tmp_path / "x.db"), limits=LIMITS) as manager:
        for source in order.split():
            manager.ingest(sources[source]())
        agents = manager.snapshot()
    assert sum(agent.total_cost_tokens for agent in agents.values()) == 535
    assert sum(agent.total_tools_executed for agent in agents.values()) == 3
    main = agents["copilot-1eaf9d7c"]
    assert main.parent_agent_id is None
    assert main.reason == ("the session ended" if "file" in order else "the turn is over")
    children = {"copilot-1eaf9d7c"} if "file" in order else set()
    assert {agent.parent_agent_id for agent in agents.values()} - {None} == children
