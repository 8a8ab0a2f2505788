"""Coverage: each agent declares what is seen of it, and its readers keep to that."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.coverage.declaration import (
    FACTS,
    NOT_READ,
    NOT_REPORTED,
    Coverage,
    sources_text,
)
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.session_files import find_sessions
from htmlgraph_nb.ingest.session_tail import SessionTail
from tests.helpers.agent_lists import CONNECTABLE, WITH_FILES
from tests.helpers.paths import ROOT
from tests.helpers.seen_facts import seen_facts

NOW = datetime(2025, 1, 14, tzinfo=UTC)
DECLARED = [name for name, agent in AGENTS.items() if agent.coverage() is not None]
NOTHING: dict[str, Any] = {"version": "", **dict.fromkeys(FACTS, NOT_REPORTED)}


def coverage_of(agent: str) -> Coverage:
    """Return the declaration of an agent."""
    coverage = AGENTS[agent].coverage()
    assert coverage is not None
    return coverage


def declared(agent: str, *sources: str) -> set[str]:
    """Return the facts that an agent declares for one of these sources."""
    return {name for name, seen in coverage_of(agent).facts() if set(sources) & {*seen}}


@cache
def facts_of_payloads() -> dict[str, set[str]]:
    """Return agent → the facts that its recorded session files contain."""
    files, _ = find_sessions(ROOT / "tests/payloads")
    events: dict[str, list[Event]] = defaultdict(list)
    for file in files:
        events[file.agent] += SessionTail(file).read(final=True)
    return {agent: seen_facts(found) for agent, found in events.items()}


@pytest.mark.parametrize("agent", AGENTS)
def test_coverage_is_declared(agent: str) -> None:
    """Every agent says what is seen of it."""
    assert AGENTS[agent].coverage() is not None


@pytest.mark.parametrize("agent", DECLARED)
def test_coverage_sources_are_those_of_the_agent(agent: str) -> None:
    """An agent without hooks, files, telemetry or processes sees nothing by them."""
    chosen = AGENTS[agent]
    settings = chosen.hook_settings()
    used = {source for _, seen in coverage_of(agent).facts() for source in (*seen,)}
    is_plugin = settings is not None and settings.program is not None and settings.existing is None
    assert ("hooks" in used) <= (chosen.has_hooks and not is_plugin)
    assert ("plugin" in used) <= is_plugin
    assert ("files" in used) == bool(chosen.session_pattern)
    assert ("telemetry" in used) <= chosen.has_telemetry
    assert ("process" in used) <= bool(chosen.commands or chosen.packages)
    assert ("statusline" in used) <= (settings is not None and settings.has_statusline)
    has_tokens = not isinstance(coverage_of(agent).tokens, str)
    assert ("prices" in coverage_of(agent).dollars) <= has_tokens


@pytest.mark.parametrize("agent", [name for name in DECLARED if name in WITH_FILES])
def test_coverage_of_files_is_that_of_recorded_files(agent: str) -> None:
    """Recorded session files show each declared fact, and no other."""
    assert facts_of_payloads()[agent] == declared(agent, "files")


@pytest.mark.parametrize("agent", [name for name in DECLARED if name in CONNECTABLE])
def test_coverage_of_hooks_is_that_of_their_events(agent: str) -> None:
    """The hooks that connect adds can report each declared fact."""
    settings = AGENTS[agent].hook_settings()
    assert settings is not None
    events = []
    for hook in settings.events:
        payload = {
            "session_id": "s",
            "hook_event_name": hook,
            "session_title": "Title",
            "tool_name": "Bash",
            "tool_use_id": "t",
            "agent_id": "child" if hook.startswith("Subagent") else None,
            "notification_type": "permission_prompt",
        }
        events += AGENTS[agent].events_from_hook(payload, received_at=NOW)
    # The parser that all agents share reads titles and subagents of any of them.
    assert declared(agent, "hooks", "plugin") <= seen_facts(events)


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ((), "tokens: expected some of hooks, .*, got \\(\\)"),
        (("files", "mail"), "tokens: expected some of hooks, .*, got 'mail'"),
        ("files", "tokens: expected sources or a gap, got 'files'"),
    ],
)
def test_coverage_refuses_unknown_sources(fact: Any, message: str) -> None:
    """The error names the fact and the source."""
    with pytest.raises(ValueError, match=message):
        Coverage(**{**NOTHING, "tokens": fact})


def test_sources_text_keeps_three_values_apart() -> None:
    """Seen, not reported and not read yet."""
    assert sources_text(("hooks", "files")) == "hooks, files"
    assert sources_text(NOT_REPORTED) == "not reported"
    assert sources_text(NOT_READ) == "not read yet"
