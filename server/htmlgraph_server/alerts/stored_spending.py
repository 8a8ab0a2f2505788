"""What agents spent since a time, from the stored events, for budgets of a period."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from htmlgraph_nb.alerts.evaluation.period_budgets import Spent
from htmlgraph_nb.core.ids import agent_kind_of
from htmlgraph_nb.core.model import TARIFF_FIELDS, TOKEN_FIELDS, Event
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.pricing.price_list import price_of
from htmlgraph_nb.storage.columnar.segment_index import searched_range
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import select_history

_STEP_ROWS = 5_000
_PAUSE_S = 0.005
"""Between two steps, in which the event loop has its turn."""
_COLUMNS = (
    *("timestamp", "agent_id", "agent_kind", "project", "branch", "host", "model", "source"),
    *("cost_tokens", "cost_usd", "web_searches", *TOKEN_FIELDS, *TARIFF_FIELDS),
)


def read_spent(db: sqlite3.Connection, since: datetime) -> tuple[list[Spent], int]:
    """Return what was spent since a time, and the seq of the newest event.

    The cost is as in presences: reported, else by the prices of the models.
    """
    last = int(db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])
    first, end = searched_range(db, HistoryQuery(since=since))
    return list(_rows(db, since, first, min(end, last))), last


def _rows(db: sqlite3.Connection, since: datetime, first: int, last: int) -> Iterator[Spent]:
    query = HistoryQuery(since=since)
    where, parameters = query.conditions()
    text = (
        f"{select_history(_COLUMNS)} {where} AND e.id BETWEEN ? AND ? "
        "AND (e.cost_tokens IS NOT NULL OR e.cost_usd IS NOT NULL OR e.web_searches IS NOT NULL)"
    )
    for start in range(first, last + 1, _STEP_ROWS):
        rows = db.execute(text, (*parameters, start, min(start + _STEP_ROWS - 1, last))).fetchall()
        for row in rows:
            yield _spent(dict(zip(_COLUMNS, row, strict=True)))
        time.sleep(_PAUSE_S)


def _spent(values: dict[str, Any]) -> Spent:
    values["timestamp"] = at = from_micros(values["timestamp"])
    event = Event(event_type="completion", **values)
    kind = event.agent_kind or agent_kind_of(event.source)
    usd = event.cost_usd if event.cost_usd is not None else price_of(event)
    scope = (event.agent_id, kind, event.project, event.branch, event.host, event.model)
    return Spent(scope, at, usd or 0.0, event.total_tokens, 0)
