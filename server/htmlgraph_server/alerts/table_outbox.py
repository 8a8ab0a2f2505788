"""The outbox of the channels: the table ``alert_deliveries``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from htmlgraph_nb.alerts.alert_table import last_delivery, put_failed, put_sent, read_pending
from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import open_reader, sqlite_errors


class TableOutbox:
    """See ``fired_alert.Outbox``. What an earlier leader left is marked as a repetition.

    Args:
        manager: the open database.
        is_leader: returns whether this server sends; else nothing is due here.
    """

    def __init__(self, manager: PresenceManager, is_leader: Callable[[], bool]) -> None:
        self._manager = manager
        self._is_leader = is_leader
        self._last_of_others: int | None = None

    def pending(self, channel: str, now: datetime, limit: int) -> Sequence[Delivery]:
        """See Outbox."""
        if not self._is_leader():
            self._last_of_others = None
            return []
        path = self._manager.db_path
        with closing(open_reader(path)) as db, sqlite_errors(path):
            if self._last_of_others is None:
                self._last_of_others = last_delivery(db)
            due = read_pending(db, channel, now, limit)
        return [self._marked(delivery) for delivery in due]

    def begin(self) -> None:
        """Call it when this server becomes the leader, before it adds deliveries.

        Raises:
            StoreError: the database cannot be read.
        """
        path = self._manager.db_path
        with closing(open_reader(path)) as db, sqlite_errors(path):
            self._last_of_others = last_delivery(db)

    def _marked(self, delivery: Delivery) -> Delivery:
        # It may have been sent just before that server ended.
        if self._last_of_others is not None and delivery.delivery_id > self._last_of_others:
            return delivery
        return replace(delivery, alert=replace(delivery.alert, repeat=True))

    def sent(self, delivery_id: int) -> None:
        """See Outbox."""
        self._manager.submit_job(lambda tx: put_sent(tx.db, delivery_id)).result()

    def failed(self, delivery_id: int, error: str, next_at: datetime | None) -> None:
        """See Outbox."""
        self._manager.submit_job(lambda tx: put_failed(tx.db, delivery_id, error, next_at)).result()
