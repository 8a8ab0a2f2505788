"""Rows of the database of the older HtmlGraph project."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.legacy_import.resources import LegacyResource, resources_from_row
from htmlgraph_nb.legacy_import.rows import (
    events_from_presence,
    events_from_row,
    events_from_session,
    is_unfinished,
)
from tests.fuzz.oracle import check_error, check_events, check_roster
from tests.fuzz.targets import split_variant

_TABLES: dict[str, Any] = {
    "agent_events": events_from_row,
    "sessions": events_from_session,
    "agent_presence": events_from_presence,
    "features": partial(resources_from_row, kind="feature"),
    "tracks": partial(resources_from_row, kind="track", agent_id="a"),
}


def run(data: bytes) -> None:
    """Convert lines of ``[table, {column: value}]``."""
    _, body = split_variant(data, ("rows",))
    events: list[Event] = []
    for line in body.split(b"\n")[:20]:
        try:
            table, row = json.loads(line)
            convert, row = _TABLES[table], {**row}
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        row = {str(name): _cell(value) for name, value in row.items()}
        try:
            is_unfinished(row)
            items = convert(row, project="shop")
        except InvalidEvent as error:
            check_error(error)
            continue
        events += [item.event if isinstance(item, LegacyResource) else item for item in items]
    check_events(events, 4 * len(body))
    check_roster([event.checked() for event in events])


def _cell(value: Any) -> Any:
    """Return a JSON value as SQLite could return it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(min(max(value, -(10**300)), 10**300))
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return json.dumps(value) if isinstance(value, dict | list) else value
