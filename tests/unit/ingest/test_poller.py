"""PollingIngester stores what a source returns, and retries what the store did not accept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import CapacityError, HtmlgraphError, StoreUnavailable
from htmlgraph_nb.ingest.poller import PollingIngester, split_batches, timers_due_since
from htmlgraph_nb.presence import PresenceManager

NOW = datetime(2026, 5, 30, 17, 0, tzinfo=UTC)


@dataclass
class FakeSource:
    """Returns one batch of events per poll."""

    batches: list[list[Event]] = field(default_factory=list)
    interval_s: float = 0.5
    n_polls: int = 0

    def poll(self, now: datetime) -> list[Event]:
        """Return the next batch."""
        self.n_polls += 1
        return self.batches.pop(0) if self.batches else []


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Yield an open database whose clock stands at NOW."""
    with PresenceManager(str(tmp_path / "h.db"), clock=lambda: NOW) as opened:
        yield opened


def prompt(agent_id: str = "a", age_s: float = 0.0) -> Event:
    """Return a prompt that is ``age_s`` seconds old."""
    return Event(
        agent_id=agent_id,
        event_type="prompt",
        timestamp=NOW - timedelta(seconds=age_s),
        event_id=f"{agent_id}:{age_s}",
    )


def fail_once(
    manager: PresenceManager, error: HtmlgraphError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the next ingest raise an error."""
    ingest = manager.ingest

    def failing(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(manager, "ingest", ingest)
        raise error

    monkeypatch.setattr(manager, "ingest", failing)


def test_polling_ingester_retries_before_next_poll(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that were not stored are retried, and the source is not polled in between."""
    source = FakeSource([[prompt()]])
    ingester = PollingIngester(manager, source)
    fail_once(manager, StoreUnavailable("disk full"), monkeypatch)
    with pytest.raises(StoreUnavailable):
        ingester.run(NOW)
    assert ingester.run(NOW) == 0.5
    assert source.n_polls == 1
    assert set(manager.agents) == {"a"}
    ingester.run(NOW)
    assert source.n_polls == 2


def test_polling_ingester_drops_events_over_capacity(
    manager: PresenceManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch over the capacity is logged and dropped; later events are stored."""
    source = FakeSource([[prompt("a")], [prompt("b")]])
    ingester = PollingIngester(manager, source)
    fail_once(manager, CapacityError("too many agents", "too_many_agents"), monkeypatch)
    ingester.run(NOW)
    assert "dropped 1 events: too many agents" in caplog.text
    ingester.run(NOW)
    assert set(manager.agents) == {"b"}


def test_split_batches_keeps_old_events_together() -> None:
    """Current events are split; events about to be forgotten stay in one transaction."""
    limits = Limits(forget_after_s=3_600)
    current = [prompt()] * 2_500
    assert [len(batch) for batch in split_batches(current, NOW, limits)] == [1_000, 1_000, 500]
    old = [prompt(age_s=3_000)] * 2_500
    assert [len(batch) for batch in split_batches(old, NOW, limits)] == [2_500]
    never = Limits(forget_after_s=0)
    assert [len(batch) for batch in split_batches(old, NOW, never)] == [1_000, 1_000, 500]


@pytest.mark.parametrize(
    ("age_s", "event_type", "status"),
    [
        (10, None, PresenceStatus.ACTIVE),
        (400, "idle", PresenceStatus.IDLE),
        (4_000, "offline", PresenceStatus.OFFLINE),
        (100_000, "forget", None),
    ],
)
def test_timers_due_since_give_status_of_running_server(
    manager: PresenceManager, age_s: float, event_type: str | None, status: PresenceStatus | None
) -> None:
    """The timer of the newest event leads to the status that a running server would show."""
    events = [prompt(age_s=age_s + 5), prompt(age_s=age_s)]
    timers = timers_due_since(manager, events, NOW)
    assert [timer.event_type for timer in timers] == ([] if event_type is None else [event_type])
    manager.ingest([*events, *timers])
    presence = manager.agents.get("a")
    assert (presence and presence.status) == status


def test_timers_due_since_ignore_agents_with_newer_activity(manager: PresenceManager) -> None:
    """Old events of an agent that is active now do not change its status."""
    manager.ingest([prompt(age_s=1)])
    assert timers_due_since(manager, [prompt(age_s=4_000)], NOW) == []
