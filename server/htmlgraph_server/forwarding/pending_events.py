"""Reads the stored events that are to be forwarded."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple

from htmlgraph_nb.core.model import Event, new_event
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.forwarding.forward_plan import BATCH_EVENTS, SeqRange
from htmlgraph_nb.forwarding.host_links import forwarded_event
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.file_guard import check_guarded
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import DECISION, HISTORY_COLUMNS, ROOT

MAX_BATCH_BYTES = 1 << 20
"""Most bytes of the events of one message, unless one event is longer."""
_COLUMNS = tuple(name for name in HISTORY_COLUMNS if name not in (*DECISION, ROOT))


class ForwardBatch(NamedTuple):
    """A part of a range of events.

    Attributes:
        texts: the events as JSON; those that stay here are left out.
        last: last seq that the batch covers.
        n_missing: numbers at its start without a row, because it was deleted.
        newest: time of its last event; None: it has none.
    """

    texts: list[str]
    last: int
    n_missing: int
    newest: datetime | None


class PendingEvents:
    """The stored events of a database file; use it in one thread.

    Args:
        path: the file.
        epoch: its id.
    """

    def __init__(self, path: str, epoch: str) -> None:
        self._path = path
        self._epoch = epoch
        self._db: sqlite3.Connection | None = None

    def connection(self) -> sqlite3.Connection:
        """Return the connection that reads.

        Raises:
            StoreUnavailable, StoreDamaged, StoreReplaced: the file cannot be read.
        """
        check_guarded(self._path)
        if self._db is None:
            self._db = open_reader(self._path)
        return self._db

    def read(
        self, seqs: SeqRange, since: datetime | None = None, limit: int = BATCH_EVENTS
    ) -> ForwardBatch:
        """Return the first events of a range.

        Args:
            seqs: first and last seq.
            since: only events from this time on, of which the last ones are returned; None: all.
            limit: most rows.

        Raises:
            StoreError: as ``connection``.
        """
        query = HistoryQuery(
            columns=_COLUMNS,
            seq_range=seqs,
            since=since,
            limit=limit,
            newest_first=since is not None,
        )
        db = self.connection()
        with sqlite_errors(self._path), closing(db.execute(*query.to_sql())) as cursor:
            rows = cursor.fetchall()
        if since is not None:
            rows.reverse()
        return self._batch(rows, seqs, limit)

    def _batch(self, rows: list[tuple[Any, ...]], seqs: SeqRange, limit: int) -> ForwardBatch:
        texts: list[str] = []
        n_bytes, newest = 0, None
        last = seqs[1] if len(rows) < limit else int(rows[-1][0])
        n_missing = (int(rows[0][0]) if rows else seqs[1] + 1) - seqs[0]
        for row in rows:
            event = _event_of(row)
            sent = forwarded_event(event, int(row[0]), self._epoch)
            if sent is None:
                continue
            text = encode_json(sent.to_dict())
            n_bytes += len(text)
            if texts and n_bytes > MAX_BATCH_BYTES:
                return ForwardBatch(texts, int(row[0]) - 1, n_missing, newest)
            texts.append(text)
            newest = event.timestamp
        return ForwardBatch(texts, last, n_missing, newest)

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _event_of(row: tuple[Any, ...]) -> Event:
    values = dict(zip(_COLUMNS, row, strict=True))
    del values["seq"]
    values["timestamp"] = from_micros(values["timestamp"])
    if values["extra"] is not None:
        values["extra"] = json.loads(values["extra"])
    return new_event(**values)
