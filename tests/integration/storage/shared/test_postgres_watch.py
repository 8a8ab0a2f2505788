"""Notifications of other servers' commits."""

from __future__ import annotations

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.shared.postgres_watch import channel_of
from tests.helpers.postgres import PostgresServer
from tests.helpers.wait import wait_until


def test_watch_learns_of_commits(postgres: PostgresServer) -> None:
    """A manager that is notified asks the database only then, and publishes what it reads."""
    url = postgres.new_url()
    with PresenceManager(url) as one, PresenceManager(url) as two:
        batches: list[object] = []
        two.subscribe(batches.append)
        store = two.store
        store.sync_notified()
        wait_until(lambda: store._watch.is_listening, "LISTEN")  # type: ignore[union-attr]
        store._next_poll = float("inf")  # type: ignore[union-attr]
        one.update_presence("a", "prompt")
        wait_until(store.sync_notified, "the notification")
        assert len(batches) == 1
        assert store.sync_notified() is False
        assert two.snapshot().keys() == {"a"}


def test_channel_of_a_schema_is_its_own() -> None:
    """Stores of one database do not wake each other."""
    assert channel_of("postgresql://h/db") == "htmlgraph_htmlgraph"
    assert channel_of("postgresql://h/db?schema=team_a") == "htmlgraph_team_a"
