"""GooseSession: rows of messages and requests to events."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster
from tests.helpers.session_databases import empty_database, events_of, recorded_database

START = 1_780_000_000


class Scene:
    """A database and what it says of its only session."""

    def __init__(self, folder: Path) -> None:
        self.path = empty_database("goose", folder / "sessions.db")
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute(
            "INSERT INTO sessions (id, name, working_dir, created_at, updated_at) "
            "VALUES ('s', 'CLI Session', '/home/ada/shop', datetime(?, 'unixepoch'), "
            "datetime(?, 'unixepoch'))",
            (START, START),
        )

    def message(self, role: str, *blocks: dict[str, Any], at: int = START, **meta: Any) -> None:
        """Add a message."""
        self.db.execute(
            "INSERT INTO messages (message_id, session_id, role, content_json, created_timestamp, "
            "metadata_json) VALUES (?, 's', ?, ?, ?, ?)",
            (
                f"{role}{at}",
                role,
                json.dumps(blocks),
                at,
                json.dumps({"userVisible": True, **meta}),
            ),
        )

    def request(self, at: int = START, **values: Any) -> None:
        """Add a row of the usage ledger."""
        row = {"session_id": "s", "created_timestamp": at, "model": "m", **values}
        marks = ", ".join("?" * len(row))
        query = f"INSERT INTO usage_ledger ({', '.join(row)}) VALUES ({marks})"
        self.db.execute(query, tuple(row.values()))

    def events(self) -> list[Event]:
        """Return the events of the session."""
        return events_of("goose", self.path)["s"]

    def kinds(self) -> list[str]:
        """Return the types of the events, the start left out."""
        return [event.event_type for event in self.events()][1:]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.db.close()


TEXT = {"type": "text", "text": "secret"}


def test_session_of_the_real_program(tmp_path: Path) -> None:
    """What version 1.52.0 wrote: tools, two turns, an error of the API, subagents."""
    events = events_of("goose", recorded_database("goose", tmp_path / "sessions.db"))
    first = events["20261130_1"]
    kinds = Counter(event.event_type for event in first)
    assert kinds["prompt"] == kinds["stop"] == 2
    assert kinds["tool_start"] == 2
    assert [event.tool_name for event in first if event.event_type == "tool_error"] == ["shell"]
    assert [event.title for event in first if event.title] == ["first"]
    completions = [event for event in first if event.event_type == "completion"]
    assert sum(event.total_tokens for event in completions) == 4 * 107
    assert {(e.input_tokens, e.cache_read_tokens) for e in completions} == {(60, 40)}
    assert {event.cost_usd for event in completions} == {0.00027}
    failed = events["20261130_2"][-1]
    assert (failed.event_type, failed.extra) == ("error", {"cannot_work": "signed_out"})
    ended = [e.agent_id for e in events["20261130_4"] if e.event_type == "session_end"]
    assert ended == ["goose-20261130_5", "goose-20261130_6"]
    assert {event.session_id for event in events["20261130_5"]} == {"20261130_4"}


@pytest.mark.parametrize("session", ["20261130_1", "20261130_4"])
def test_session_is_idle_after_its_last_turn(tmp_path: Path, session: str) -> None:
    """Times are seconds, and the row of a request can come after that of its message."""
    events = events_of("goose", recorded_database("goose", tmp_path / "sessions.db"))
    roster = Roster()
    for seq, event in enumerate(events[session], 1):
        assert event.timestamp is not None
        roster.apply(event, seq, event.timestamp)
    state = roster.get(f"goose-{session}")
    assert state is not None
    assert state.presence.status == "idle"


def test_session_keeps_no_content(scene: Scene) -> None:
    """Prompts, answers, tool inputs and results never become part of an event."""
    call = {"status": "success", "value": {"name": "shell", "arguments": {"command": "secret"}}}
    scene.message("user", TEXT)
    scene.message("assistant", TEXT, {"type": "toolRequest", "id": "c", "toolCall": call})
    result = {"status": "success", "value": {"content": [TEXT], "isError": False}}
    scene.message("user", {"type": "toolResponse", "id": "c", "toolResult": result})
    scene.message(
        "assistant", {"type": "error", "kind": "other", "message": "secret"}, at=START + 1
    )
    assert scene.kinds() == ["prompt", "tool_start", "tool_execute", "error"]
    assert "secret" not in repr(scene.events())


def test_session_reminders_are_no_prompts(scene: Scene) -> None:
    """Goose adds messages that only the model sees."""
    scene.message("user", TEXT, userVisible=False)
    assert scene.kinds() == []


def test_session_answer_with_a_question(scene: Scene) -> None:
    """The turn is over, and the user is asked."""
    scene.message("user", TEXT)
    scene.message("assistant", {"type": "text", "text": "Go on?"}, at=START + 1)
    assert scene.events()[-1].extra == {"question": True}


def test_session_stored_request_for_permission_waits(scene: Scene) -> None:
    """Some clients store it."""
    data = {"actionType": "toolConfirmation", "id": "c", "toolName": "shell", "arguments": {}}
    scene.message("assistant", {"type": "actionRequired", "data": data})
    event = scene.events()[-1]
    assert (event.event_type, event.tool_name) == ("permission_request", "shell")


def test_session_compaction_repeats_nothing(scene: Scene) -> None:
    """All messages are replaced by copies with new row numbers."""
    scene.message("user", TEXT)
    scene.message("assistant", TEXT, at=START + 1)
    before = scene.events()
    scene.db.execute("UPDATE messages SET id = id + 100")
    assert scene.events() == before
    scene.request(START + 2, input_tokens=5, output_tokens=1, is_compaction=1)
    assert [event.extra for event in scene.events() if event.event_type == "activity"] == [
        {"compacted": True}
    ]


def test_session_cache_is_part_of_the_input(scene: Scene) -> None:
    """Fresh input, reads and writes are counted separately; a cost of 0 is unknown."""
    tokens = {"input_tokens": 100, "cache_read_tokens": 60, "cache_write_tokens": 30}
    scene.request(**tokens, output_tokens=5, cost=0.0)
    (event,) = (event for event in scene.events() if event.event_type == "completion")
    assert (event.input_tokens, event.cache_read_tokens, event.cache_write_5m_tokens) == (
        10,
        60,
        30,
    )
    assert (event.total_tokens, event.cost_usd, event.context_tokens) == (105, None, 100)


def test_session_ignores_rows_of_another_form(scene: Scene) -> None:
    """Malformed JSON and values of other types."""
    scene.db.execute(
        "INSERT INTO messages (session_id, role, content_json, created_timestamp) "
        "VALUES ('s', 'assistant', '{', 5), ('s', 'user', '[1, [], {}]', 'x'), ('s', 'x', '[]', 1)"
    )
    scene.request(input_tokens="many", output_tokens=None)
    assert scene.kinds() == []
