"""JoinedSources polls several sources as one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.ingest.following.joined_sources import SOURCE_PAUSE_S, JoinedSources

NOW = datetime(2026, 5, 30, 17, 0, tzinfo=UTC)


@dataclass
class FakeSource:
    """Returns an event of its agent with each poll, or raises."""

    agent: str
    interval_s: float = 0.5
    error: Exception | None = None
    polls: list[datetime] = field(default_factory=list)

    def poll(self, now: datetime) -> list[Event]:
        """Return an event."""
        self.polls.append(now)
        if self.error is not None:
            raise self.error
        return [Event(agent_id=self.agent, event_type="prompt")]


def test_joined_sources_return_the_events_of_all() -> None:
    """In their order, and the first that is due decides when to poll again."""
    sources = JoinedSources({"one": FakeSource("a"), "two": FakeSource("b", 0.1)})
    assert [event.agent_id for event in sources.poll(NOW)] == ["a", "b"]
    assert sources.interval_s == 0.1


@pytest.mark.parametrize("error", [OSError("no disk"), HtmlgraphError("busy"), ValueError("odd")])
def test_joined_sources_keep_the_events_beside_a_failure(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The failed source is polled again a second later, and its error logged once."""
    at = 1_000.0
    good, bad = FakeSource("a", 0.5), FakeSource("b", 0.1, error)
    sources = JoinedSources({"good": good, "bad": bad}, monotonic=lambda: at)
    with caplog.at_level(logging.WARNING):
        assert [event.agent_id for event in sources.poll(NOW)] == ["a"]
        assert [event.agent_id for event in sources.poll(NOW)] == ["a"]
        assert len(bad.polls) == 1
        assert sources.interval_s == 0.5
        at += SOURCE_PAUSE_S
        sources.poll(NOW)
    assert len(bad.polls) == 2
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("bad: ")
    at += SOURCE_PAUSE_S
    bad.error = None
    assert [event.agent_id for event in sources.poll(NOW)] == ["a", "b"]
    assert sources.interval_s == 0.1
