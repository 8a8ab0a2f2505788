"""Dedup keys, token sources and agent aliases; see also tests/integration/storage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core import dedup
from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.dedup import (
    COMPLETIONS,
    METRIC_ID_PREFIX,
    METRIC_INTERVAL,
    METRICS,
    TOLERANCE,
    AgentAliases,
    DedupRules,
    aliases_of,
    dedup_key,
    token_source_of,
)
from htmlgraph_nb.core.model import AgentPresence, Event

RULES = DedupRules(AGENTS.values())
SESSION = "0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f"
DEFAULT_ID = "claude-0b9d6f4e"


def event(event_type: str, source: str | None = "claude-hook", **fields: Any) -> Event:
    """Return an event of the main agent of the session."""
    values = {"agent_id": DEFAULT_ID, "session_id": SESSION, **fields}
    return Event(event_type=event_type, source=source, **values)


@pytest.mark.parametrize(
    ("event_type", "fields"),
    [
        ("prompt", {}),
        ("session_start", {}),
        ("subagent_start", {"extra": {"child_agent_id": "claude-c"}}),
        ("completion", {"extra": {"request_id": "req_1"}}),
        ("completion", {"input_tokens": 3, "cache_read_tokens": 4, "output_tokens": 5}),
    ],
)
def test_dedup_key_is_equal_for_hooks_and_session_files(
    event_type: str, fields: dict[str, Any]
) -> None:
    """The name is the same, and the kind of source differs."""
    hook = dedup_key(event(event_type, "claude-hook", **fields), RULES)
    file = dedup_key(event(event_type, "claude-session", **fields), RULES)
    assert hook is not None
    assert file is not None
    assert hook.name == file.name
    assert (hook.source, file.source) == ("hook", "file")


@pytest.mark.parametrize(
    "single",
    [
        event("prompt", None),
        event("prompt", "my-script"),
        event("prompt", session_id=None),
        event("permission_request"),
        event("tool_start", tool_use_id="toolu_1"),
        event("completion", event_id=f"{METRIC_ID_PREFIX}1"),
    ],
)
def test_dedup_key_is_none_for_events_of_one_source(single: Event) -> None:
    """Events that no other source reports, or that share an id, have no key."""
    assert dedup_key(single, RULES) is None


def test_dedup_key_of_ends_of_turns() -> None:
    """Their timestamps may differ; details of a stop always count."""
    plain = dedup_key(event("stop"), RULES)
    detailed = dedup_key(event("stop", extra={"background_tasks": 1}), RULES)
    assert plain is not None
    assert detailed is not None
    assert (plain.tolerance, plain.latest_wins, plain.always_count) == (TOLERANCE, True, False)
    assert detailed.always_count


def test_token_source_of_separates_completions_and_metrics() -> None:
    """Both have the key of the session; a metric covers the time since its previous export."""
    completion = token_source_of(event("completion"), RULES)
    metric = token_source_of(event("completion", "otlp", event_id=f"{METRIC_ID_PREFIX}1"), RULES)
    assert completion is not None
    assert metric is not None
    assert completion.name == metric.name
    assert (completion.kind, metric.kind) == (COMPLETIONS, METRICS) == ("answers", "metrics")
    assert metric.lookback == METRIC_INTERVAL
    for seconds, lookback in ((7_200, timedelta(hours=2)), (0, timedelta()), (-1, METRIC_INTERVAL)):
        counted = event("completion", "otlp", event_id="metric:1", extra={"interval_s": seconds})
        metric = token_source_of(counted, RULES)
        assert metric is not None
        assert metric.lookback == lookback
    assert token_source_of(event("prompt"), RULES) is None
    assert token_source_of(event("completion", None), RULES) is None


def test_agent_aliases_rename_agents_and_parents() -> None:
    """The id of a hook event replaces the default id in events of all sources."""
    aliases = AgentAliases(RULES)
    assert aliases.new_of([event("prompt", agent_id="reviewer")]) == {DEFAULT_ID: "reviewer"}
    assert aliases.put(DEFAULT_ID, "reviewer") == []
    assert aliases.new_of([event("prompt", agent_id="reviewer")]) == {}
    child = event("prompt", "claude-session", agent_id="claude-c", parent_agent_id=DEFAULT_ID)
    own = event("prompt", "claude-session")
    assert [(e.agent_id, e.parent_agent_id) for e in aliases.apply([own, child])] == [
        ("reviewer", None),
        ("claude-c", "reviewer"),
    ]
    reported = event("prompt", None)
    assert list(aliases.apply([reported])) == [reported]


def test_agent_aliases_apply_new_ones_before_they_are_known() -> None:
    """A new alias replaces a known one."""
    aliases = AgentAliases(RULES)
    own = event("prompt", "claude-session")
    assert [e.agent_id for e in aliases.apply([own], {DEFAULT_ID: "a"})] == ["a"]
    aliases.put(DEFAULT_ID, "b")
    assert [e.agent_id for e in aliases.apply([own], {DEFAULT_ID: "a"})] == ["a"]
    assert [e.agent_id for e in aliases.apply([own])] == ["b"]


def test_agent_aliases_evict_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is put again is the newest."""
    monkeypatch.setattr(dedup, "_MAX_ALIASES", 2)
    aliases = AgentAliases(RULES)
    assert [aliases.put(name, "x") for name in "abacb"] == [[], [], [], ["b"], ["a"]]


def test_aliases_of_stored_agents() -> None:
    """A stored main agent with another id than the default is an alias."""
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def agent(agent_id: str, session: str | None, **fields: Any) -> AgentPresence:
        presence = AgentState.new(agent_id, at).presence
        return replace(presence, session_id=session, **fields)

    unknown = [agent("reviewer", SESSION), agent("claude-x", None), agent("other", "session-1")]
    found = dict(aliases_of(unknown, RULES))
    assert found[DEFAULT_ID] == "reviewer"
    assert set(found.values()) == {"reviewer"}
    known = [agent("reviewer", SESSION, agent_kind="claude"), agent(DEFAULT_ID, SESSION)]
    assert list(aliases_of(known, RULES)) == [(DEFAULT_ID, "reviewer")]
    assert list(aliases_of([agent("x", SESSION, parent_agent_id="y")], RULES)) == []


def test_dedup_key_of_calls_whose_hooks_have_no_id() -> None:
    """Telemetry knows the id, but its call is compared with that of the hook by name, too."""
    calls = {"tool_name": "Bash", "agent_kind": "gemini"}
    hook = dedup_key(event("tool_execute", "gemini-hook", tool_name="Bash"), RULES)
    sent = dedup_key(event("tool_execute", "otlp", tool_use_id="call_1", **calls), RULES)
    assert hook is not None
    assert sent is not None
    assert (hook.name, hook.source, sent.source) == (sent.name, "hook", "otlp")
    shared = event("tool_execute", "otlp", tool_use_id="toolu_1", agent_kind="claude")
    assert dedup_key(shared, RULES) is None
