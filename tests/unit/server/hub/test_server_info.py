"""The message ``server_info``: after the first state and when it changes, once a second at most."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.core.protocol import Filter
from htmlgraph_server.hub.server_info import ServerInfo
from tests.helpers.hub_harness import FakeDashboard, HubHarness


class Provided:
    """A hub with a ``backfill`` whose value the test sets."""

    def __init__(self, harness: HubHarness, value: Any = None) -> None:
        self.value = value
        self.info = harness.hub.info
        self.info.provide("backfill", lambda: self.value)

    def set(self, value: Any) -> None:
        """Change the value and report it."""
        self.value = value
        self.info.changed()


def infos(dashboard: FakeDashboard) -> list[Any]:
    """Return the value of ``backfill`` in each message that a dashboard got."""
    return [
        message["backfill"] for message in dashboard.messages if message["type"] == "server_info"
    ]


def test_server_info_follows_the_first_state() -> None:
    """A dashboard gets it once, after its state, with all parts."""
    harness = HubHarness(["a"])
    provided = Provided(harness, 1)
    harness.hub.info.update()
    dashboard = FakeDashboard()
    client = harness.hub.join(dashboard)
    assert dashboard.types() == ["presence_state", "server_info"]
    assert dashboard.messages[1] == {"type": "server_info", "backfill": 1, "quotas": []}
    harness.hub.subscribe(client, Filter())
    assert dashboard.types() == ["presence_state", "server_info", "presence_state"]
    assert provided.value == 1


def test_server_info_is_not_sent_while_it_is_empty() -> None:
    """A server with nothing to say sends no message, and the oldest clients get none."""
    harness = HubHarness(["a"])
    provided = Provided(harness)
    harness.hub.info.update()
    new, old = FakeDashboard(), FakeDashboard()
    harness.hub.join(new)
    harness.hub.join(old, legacy_state=True)
    assert new.types() == ["presence_state"]
    provided.set(1)
    harness.loop.advance(0)
    assert (infos(new), infos(old)) == ([1], [])


def test_server_info_is_sent_once_a_second() -> None:
    """Changes within a second are joined; a report without a change sends nothing."""
    harness = HubHarness()
    provided, dashboard = Provided(harness), FakeDashboard()
    harness.hub.join(dashboard)
    for value in (1, 2, 3):
        provided.set(value)
        harness.loop.advance(0.1)
    assert infos(dashboard) == [1]
    harness.loop.advance(0.8)
    assert infos(dashboard) == [1, 3]
    provided.set(3)
    harness.loop.advance(2)
    assert infos(dashboard) == [1, 3]


def test_server_info_waits_for_slow_dashboards() -> None:
    """A dashboard that does not read gets the last version after its next state."""
    harness = HubHarness(["a"], max_queue_bytes=500)
    provided, dashboard = Provided(harness), FakeDashboard(reading=False)
    harness.hub.join(dashboard)
    for number in range(20):
        harness.report("a")
        harness.loop.advance(0.02)
        provided.set(number)
    assert harness.hub.n_slow == 1
    n_unsent = len(dashboard.unsent)
    harness.loop.advance(2)
    assert len(dashboard.unsent) <= n_unsent
    dashboard.reading = True
    dashboard.read()
    harness.loop.advance(1)
    assert infos(dashboard)[-1] == 19
    assert dashboard.types()[-2:] == ["presence_state", "server_info"]


def test_server_info_refuses_unknown_parts() -> None:
    """The parts are fixed."""
    with pytest.raises(ValueError, match="expected one of backfill, quotas, database, got other"):
        ServerInfo().provide("other", lambda: None)


def test_server_info_has_the_database_while_it_is_away() -> None:
    """The part is missing as long as all is well."""
    info = ServerInfo()
    problem: list[dict[str, str] | None] = [None]
    info.provide("database", lambda: problem[0])
    assert not info.update()
    problem[0] = {"error": "away"}
    assert info.update()
    assert b'"database":{"error":"away"}' in info.frame
    problem[0] = None
    assert info.update()
    assert b"database" not in info.frame
