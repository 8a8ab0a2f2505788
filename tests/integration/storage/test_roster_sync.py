"""RosterSync: the subscribers of committed changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.history.load import load_history
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.database_files import history_rows


@pytest.fixture
def manager(database: str) -> Iterator[PresenceManager]:
    """A manager with its own file."""
    with PresenceManager(database) as opened:
        yield opened


def test_failing_subscriber_fails_neither_write_nor_next_subscriber(
    manager: PresenceManager, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is stored, so its sender must not send it again."""
    seqs: list[int] = []

    def fail(_: ChangeBatch) -> None:
        raise RuntimeError("loop is closed")

    manager.subscribe(fail)
    unsubscribe = manager.subscribe(
        lambda batch: seqs.extend(change.seq for change in batch.changes)
    )
    assert manager.update_presence("a", "prompt").seq == 1
    assert seqs == [1]
    assert re.search(r"subscriber .* failed", caplog.text)
    unsubscribe()
    unsubscribe()
    manager.update_presence("a", "prompt")
    assert seqs == [1]


def roots(path: str) -> list[tuple[str, str]]:
    """Return agent and root of each stored event, read as a frame and by SQL."""
    frame = load_history(path, columns=["agent_id", "root_agent_id"])
    found = [*frame.astype("str").itertuples(index=False, name=None)]
    assert history_rows(path, "agent_id, root_agent_id") == found
    return found


def test_apply_stores_root_of_subagents(manager: PresenceManager, database: str) -> None:
    """Subagents of subagents have the same root, with and without a parent in the event."""
    manager.update_presence("main", "prompt")
    manager.update_presence("child", {"event_type": "prompt", "parent_agent_id": "main"})
    manager.update_presence("grandchild", {"event_type": "prompt", "parent_agent_id": "child"})
    manager.update_presence("grandchild", "stop")
    assert roots(database) == [
        ("main", "main"),
        ("child", "main"),
        ("grandchild", "main"),
        ("grandchild", "main"),
    ]


def test_apply_stores_root_before_parent_is_known(manager: PresenceManager, database: str) -> None:
    """An event names its parent before that has reported anything, or before it names its own."""
    events: list[dict[str, Any]] = [
        {"agent_id": "grandchild", "event_type": "prompt", "parent_agent_id": "child"},
        {"agent_id": "child", "event_type": "prompt"},
        {"agent_id": "child", "event_type": "prompt", "parent_agent_id": "main"},
        {"agent_id": "grandchild", "event_type": "stop"},
    ]
    manager.ingest([Event(**event) for event in events])
    assert roots(database) == [
        ("grandchild", "child"),
        ("child", "child"),
        ("child", "main"),
        ("grandchild", "main"),
    ]


def test_apply_stores_root_of_removed_agent(manager: PresenceManager, database: str) -> None:
    """The event that removes an agent has the root that it had."""
    manager.update_presence("child", {"event_type": "prompt", "parent_agent_id": "main"})
    manager.forget("child")
    assert roots(database) == [("child", "main"), ("child", "main")]


def test_apply_of_loop_stores_agent_as_root(manager: PresenceManager, database: str) -> None:
    """Agents that are each other's parents end no search, and neither is above the other."""
    manager.update_presence("a", {"event_type": "prompt", "parent_agent_id": "b"})
    manager.update_presence("b", {"event_type": "prompt", "parent_agent_id": "a"})
    manager.update_presence("a", "stop")
    manager.update_presence("own", {"event_type": "prompt", "parent_agent_id": "own"})
    assert roots(database) == [("a", "b"), ("b", "b"), ("a", "a"), ("own", "own")]


def test_apply_stores_root_of_parent_known_by_another_process(database: str) -> None:
    """Each process knows the agents that the others have committed."""
    path = database
    with PresenceManager(path) as first, PresenceManager(path) as second:
        first.update_presence("child", {"event_type": "prompt", "parent_agent_id": "main"})
        second.update_presence("grandchild", {"event_type": "prompt", "parent_agent_id": "child"})
    assert roots(path)[-1] == ("grandchild", "main")
