"""Answers whose ids are repeated are stored as often as they were given, copies of them once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.claude_lines import completion, user
from tests.helpers.session_lines import MAIN, SESSION, once, read


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Return an empty database."""
    with PresenceManager(tmp_path / "htmlgraph.db") as opened:
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
    with closing(sqlite3.connect(manager.db_path)) as db:
        query = "SELECT count(*) FROM history WHERE event_type = 'completion'"
        return int(db.execute(query).fetchone()[0])


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
