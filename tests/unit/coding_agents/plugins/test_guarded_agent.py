"""Errors in the agent of another package do not leave it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from htmlgraph_nb.coding_agents import CodingAgent, Event, InvalidEvent
from htmlgraph_nb.coding_agents.plugins.guarded_agent import _logged, guard

NOW = datetime(2025, 1, 14, tzinfo=UTC)


class Reader:
    """A reader that fails for some lines."""

    QUIET_THRESHOLDS_S = (1.0,)

    def feed(self, line: bytes) -> list[Event]:
        """Fail as the line says."""
        if line == b'{"fail":1}':
            raise KeyError("secret")
        if b"[" in line:
            raise InvalidEvent("line: expected an object")
        bad: Any = 7
        return [Event(agent_id="a"), Event(agent_id=bad)]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Fail."""
        raise RecursionError

    def finish(self) -> list[Event]:
        """Return something else than events."""
        return ["text"]  # type: ignore[list-item]


class Failing(CodingAgent):
    """An agent whose methods fail."""

    name = "failing"
    label = "Failing"

    def is_session_record(self, record: Any) -> bool:
        """Fail."""
        return bool(record["missing"])

    def homes(self) -> list[str]:
        """Fail."""
        raise OSError("no home")

    def session_reader(self, path: str, hash_input: Any = None) -> Any:
        """Return the reader, or fail."""
        if path == "bad":
            raise ValueError
        return Reader()

    def events_from_hook(self, payload: Any, *, received_at: datetime) -> list[Event]:
        """Fail as the input says."""
        if payload == "invalid":
            raise InvalidEvent("hook input: expected an object")
        raise ZeroDivisionError


@pytest.fixture
def agent() -> CodingAgent:
    """The guarded agent, of which nothing was logged yet."""
    _logged.clear()
    return guard(Failing())


def test_guard_returns_what_an_agent_without_the_feature_returns(agent: CodingAgent) -> None:
    """The other methods go on to work."""
    assert agent.is_session_record({}) is False
    assert (agent.homes(), agent.session_roots(), agent.label) == ([], [], "Failing")
    with pytest.raises(InvalidEvent, match="Failing: its reader failed: ZeroDivisionError in line"):
        agent.events_from_hook({}, received_at=NOW)
    with pytest.raises(InvalidEvent, match="expected an object"):
        agent.events_from_hook("invalid", received_at=NOW)


def test_guard_logs_each_method_once(agent: CodingAgent, caplog: pytest.LogCaptureFixture) -> None:
    """With the type and place of the error, but without its text."""
    caplog.set_level(logging.WARNING)
    reader = agent.session_reader("good")
    for _ in range(3):
        assert reader.feed(b'{"fail":1}') == []
        assert reader.on_quiet(1) == reader.finish() == []
        assert agent.session_reader("bad").feed(b"{}") == []
    assert [record.getMessage().partition("once: ")[2].split()[0] for record in caplog.records] == [
        *("KeyError", "RecursionError", "AttributeError", "ValueError")
    ]
    assert "secret" not in caplog.text


def test_guarded_reader_keeps_valid_events_only(agent: CodingAgent) -> None:
    """A line that is no object is broken, as for any reader; an object never is."""
    reader = agent.session_reader("good")
    assert reader.QUIET_THRESHOLDS_S == (1.0,)
    assert [event.agent_id for event in reader.feed(b"{}")] == ["a"]
    with pytest.raises(InvalidEvent):
        reader.feed(b"[1]")
    assert reader.feed(b'{"a":[1]}') == []
