"""Answers whose ids are repeated are stored as often as they were given, copies of them once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.claude_lines import CALL, call, completion, result, user
from tests.helpers.database_files import query_rows
from tests.helpers.session_lines import MAIN, SESSION, START, at, once, read


@pytest.fixture
def manager(database: str) -> Iterator[PresenceManager]:
    """Return an empty database."""
    with PresenceManager(database) as opened:
        yield opened


def file_events(session: str = SESSION, **fields: Any) -> list[Event]:
    """Return the events of a file with three answers that have the same id."""
    lines = []
    for turn in range(3):
        lines.append(user("go", 10 * turn, sessionId=session, **fields))
        end = {"requestId": None, "stop_reason": "end_turn", "cache_read": turn}
        lines.append(completion("ocgo", 5, 10 * turn + 1, sessionId=session, **end, **fields))
    return once(read(ClaudeSession(), lines))


def n_answers(manager: PresenceManager) -> int:
    """Return the number of stored completions."""
    query = "SELECT count(*) FROM history WHERE event_type = 'completion'"
    return int(query_rows(manager.db_path, query)[0][0])


def test_answers_with_one_id_are_all_stored(manager: PresenceManager) -> None:
    """Reading the file again changes nothing, and the agent is idle after each turn."""
    events = file_events()
    for event in events:
        manager.ingest([event])
        if event.event_type == "stop":
            assert manager.agents[MAIN].status.value == "idle"
    assert n_answers(manager) == 3
    assert manager.ingest(file_events()).accepted == 0
    assert manager.agents[MAIN].total_cost_tokens == sum(e.total_tokens or 0 for e in events)


def test_answers_of_another_session_are_others(manager: PresenceManager) -> None:
    """The same id at another time; a copy of the lines under another session id is no answer."""
    manager.ingest(file_events())
    manager.ingest(file_events("other"))
    assert n_answers(manager) == 3
    others = [user("go", 100), completion("ocgo", 5, 101, requestId=None, cache_read=0)]
    manager.ingest(once(read(ClaudeSession(), others)))
    assert n_answers(manager) == 4


def test_answers_of_the_sdk_have_the_id_of_the_line(manager: PresenceManager) -> None:
    """The stream of the SDK has other times, and a copy of the file has other ids of lines."""
    from_file = [e for e in file_events() if e.event_type == "completion"]
    from_sdk = [
        replace(event, event_id=str(event.event_id).replace("@", "@9"), source="claude-agent-sdk")
        for event in from_file
    ]
    manager.ingest(from_sdk)
    assert n_answers(manager) == 3
    manager.ingest(from_file)
    manager.ingest(file_events(uuid="copied"))
    assert n_answers(manager) == 3


def test_answers_of_older_versions_are_known(manager: PresenceManager) -> None:
    """They were stored under their own id, so that one of a session was stored."""
    first, *others = [e for e in file_events() if e.event_type == "completion"]
    manager.ingest([replace(first, event_id="claude:ocgo")])
    manager.ingest([first])
    assert n_answers(manager) == 1
    manager.ingest(others)
    assert n_answers(manager) == 3


def hook(name: str, seconds: float, call: str = "Bash:0", **fields: Any) -> list[Event]:
    """Return the event of a hook of a tool call."""
    payload = {"session_id": SESSION, "hook_event_name": name, "tool_use_id": call, **fields}
    payload["htmlgraph"] = {"timestamp": at(seconds), "event_id": f"h{seconds}"}
    return events_from_hook({"tool_name": "Bash", **payload}, received_at=START)


def stored(manager: PresenceManager, *kinds: str) -> int:
    """Return the number of stored events of some types."""
    rows = query_rows(manager.db_path, "SELECT event_type, count(*) FROM history GROUP BY 1")
    counts = dict(rows)
    return sum(counts.get(kind, 0) for kind in kinds)


def n_ends(manager: PresenceManager) -> int:
    """Return the number of stored ends of tool calls."""
    return stored(manager, "tool_execute", "tool_error")


def test_calls_of_hooks_with_one_id(manager: PresenceManager) -> None:
    """Each runs and ends; hooks that are set up twice, or sent twice, report the same call."""
    for start in (0.0, 10.0, 20.0):
        for shift in (0.0, 0.01):
            manager.ingest(hook("PreToolUse", start + shift))
        assert manager.agents[MAIN].detail == "tool"
        for shift in (0.0, 0.01):
            manager.ingest(hook("PostToolUse", start + 1 + shift))
        assert manager.agents[MAIN].detail == "working"
    assert manager.ingest([*hook("PreToolUse", 10.0), *hook("PostToolUse", 11.0)]).accepted == 0
    assert (stored(manager, "tool_start"), n_ends(manager)) == (3, 3)


@pytest.mark.parametrize("call", ["Bash:0", CALL])
def test_calls_of_a_file_are_those_of_late_hooks(manager: PresenceManager, call: str) -> None:
    """Hooks have later times than the file, where the call waits for others."""
    lines = [user("go", 0)]
    for second in (1, 21):
        use = {"type": "tool_use", "id": call, "name": "Bash", "input": {}}
        lines.append(completion(f"m{second}", 5, second, content=[use]))
        lines.append(result(second + 10, key=call))
    from_file = once(read(ClaudeSession(), lines))
    from_hooks = [
        *(*hook("PreToolUse", 5, call), *hook("PostToolUse", 10.9, call, duration_ms=5900)),
        *(*hook("PreToolUse", 25, call), *hook("PostToolUse", 30.9, call, duration_ms=5900)),
    ]
    for batch in (from_file, from_hooks):
        manager.ingest(batch)
        assert (stored(manager, "tool_start"), n_ends(manager)) == (2, 2)
    assert manager.agents[MAIN].total_tools_executed == 2


def test_calls_of_hooks_are_those_of_a_late_file(manager: PresenceManager) -> None:
    """Also if the hooks were set up after the first calls."""
    lines = [user("go", 0)]
    for second in (1, 21, 41):
        use = {"type": "tool_use", "id": "Bash:0", "name": "Bash", "input": {}}
        lines.append(completion(f"m{second}", 5, second, content=[use]))
        lines.append(result(second + 10, key="Bash:0"))
    for event in [*hook("PreToolUse", 22, "Bash:0"), *hook("PostToolUse", 30, "Bash:0")]:
        manager.ingest([event])
    manager.ingest(once(read(ClaudeSession(), lines)))
    assert (stored(manager, "tool_start"), n_ends(manager)) == (3, 3)
    assert manager.ingest(once(read(ClaudeSession(), lines))).accepted == 0


def test_calls_of_subagents_with_one_id(manager: PresenceManager) -> None:
    """Two agents of a session can have calls with the same id at the same time."""
    for agent in ({}, {"agent_id": "a1b2c3"}, {"agent_id": "d4e5f6"}):
        manager.ingest(hook("PreToolUse", 1, **agent))
    for agent in ({}, {"agent_id": "a1b2c3"}, {"agent_id": "d4e5f6"}):
        manager.ingest(hook("PostToolUse", 2, **agent))
    assert (stored(manager, "tool_start"), n_ends(manager)) == (3, 3)


def test_calls_after_a_denial_are_others(manager: PresenceManager) -> None:
    """A denied call has no result; its id can be used again."""
    manager.ingest(hook("PreToolUse", 1))
    manager.ingest(hook("PermissionDenied", 2))
    manager.ingest(hook("PreToolUse", 10))
    assert manager.agents[MAIN].detail == "tool"
    manager.ingest(hook("PostToolUse", 11))
    assert (stored(manager, "tool_start"), n_ends(manager)) == (2, 1)


def test_calls_of_a_forked_session_are_those_of_the_original(manager: PresenceManager) -> None:
    """The last line of a fork has the time of the fork; the ids are those of the API."""
    lines = [user("go", 0), call(1), result(2)]
    manager.ingest(once(read(ClaudeSession(), lines)))
    fork = [user("go", 0, sessionId="fork"), call(1), call(500)]
    fork = [line.replace(SESSION.encode(), b"fork") for line in fork]
    manager.ingest(once(read(ClaudeSession(), [fork[0], fork[2]])))
    assert (stored(manager, "tool_start"), n_ends(manager)) == (1, 1)
