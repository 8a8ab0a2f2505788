"""The outbox of the channels: the table ``alert_deliveries``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from htmlgraph_nb.alerts.alert_table import last_delivery, put_failed, put_sent, read_pending
from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import open_reader, sqlite_errors


class TableOutbox:
    """See ``fired_alert.Outbox``. What an earlier process left is marked as a repetition.

    Args:
        manager: the open database.

    Raises:
        StoreError: the database cannot be read.
    """

    def __init__(self, manager: PresenceManager) -> None:
        self._manager = manager
        with closing(open_reader(manager.db_path)) as db, sqlite_errors(manager.db_path):
            self._last_of_others = last_delivery(db)

    def pending(self, channel: str, now: datetime, limit: int) -> Sequence[Delivery]:
        """See Outbox."""
        path = self._manager.db_path
        with closing(open_reader(path)) as db, sqlite_errors(path):
            due = read_pending(db, channel, now, limit)
        return [self._marked(delivery) for delivery in due]

    def _marked(self, delivery: Delivery) -> Delivery:
        # It may have been sent just before that process ended.
        if delivery.delivery_id > self._last_of_others:
            return delivery
        return replace(delivery, alert=replace(delivery.alert, repeat=True))

    def sent(self, delivery_id: int) -> None:
        """See Outbox."""
        self._manager.submit_job(lambda tx: put_sent(tx.db, delivery_id)).result()

    def failed(self, delivery_id: int, error: str, next_at: datetime | None) -> None:
        """See Outbox."""
        self._manager.submit_job(lambda tx: put_failed(tx.db, delivery_id, error, next_at)).result()
