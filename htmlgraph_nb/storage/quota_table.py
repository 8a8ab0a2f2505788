"""The table ``quotas``: the last report of each usage window of each account."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple

from ..core.ids import agent_kind_of
from ..core.model import Event
from ..core.timestamps import from_micros, to_micros
from ..core.validation import (
    MAX_INTEGER,
    parse_time,
    validate_count,
    validate_number,
    validate_string,
)
from ..errors import InvalidEvent
from .schema import MAX_ROWS

MAX_WINDOWS = 16
"""Most windows of one event that are stored."""
MAX_QUOTAS = 256
"""Most rows of the table; beyond it the oldest reports are deleted."""


class Quota(NamedTuple):
    """The use of one usage window of an account, as last reported.

    Attributes:
        account: such as "claude" or "codex".
        window: name of the window, such as "5h" or "weekly".
        agent_kind: kind of the agent that reported it; None if unknown.
        plan: name of the account's plan; None if unknown.
        minutes: length of the window; None if unknown.
        used_percent: 0 to 100 or more.
        resets_at: when the window ends, UTC; None if unknown.
        reported_at: when it was reported, UTC.
        source: source of the report.
        official: whether the provider reported it; False: it is an estimate.
    """

    account: str
    window: str
    agent_kind: str | None
    plan: str | None
    minutes: int | None
    used_percent: float
    resets_at: datetime | None
    reported_at: datetime
    source: str | None
    official: bool


def quotas_of(event: Event, at: datetime) -> Iterator[Quota]:
    """Yield the windows that an event of the type ``quota`` reports; invalid ones are left out.

    Args:
        at: the time of an event without a timestamp, and the latest possible time.
    """
    extra = event.extra or {}
    windows = extra.get("windows")
    for record in (windows if isinstance(windows, list) else [])[:MAX_WINDOWS]:
        if not isinstance(record, Mapping):
            continue
        try:
            yield _quota(event, extra, record, at)
        except (InvalidEvent, KeyError):
            # Any program can send any JSON here; the other windows still count.
            continue


def _quota(
    event: Event, extra: Mapping[str, Any], record: Mapping[str, Any], at: datetime
) -> Quota:
    plan, minutes, resets_at = extra.get("plan"), record.get("minutes"), record.get("resets_at")
    return Quota(
        validate_string(extra["account"], "account"),
        validate_string(record["window"], "window"),
        event.agent_kind or agent_kind_of(event.source),
        None if plan is None else validate_string(plan, "plan"),
        None if minutes is None else min(validate_count(minutes, "minutes"), MAX_INTEGER),
        validate_number(record["used_percent"], "used_percent"),
        None if resets_at is None else parse_time(resets_at, "resets_at"),
        min(event.timestamp or at, at),
        event.source,
        extra.get("official") is True,
    )


_PUT = f"""
INSERT INTO quotas ({", ".join(Quota._fields)}) VALUES ({", ".join("?" * len(Quota._fields))})
ON CONFLICT (account, window) DO UPDATE SET
{", ".join(f"{name} = excluded.{name}" for name in Quota._fields[2:])}
WHERE excluded.reported_at >= quotas.reported_at
"""
_ORDER = "account, coalesce(minutes, -1), window"
_TRIM = f"""
DELETE FROM quotas WHERE (account, window) IN
    (SELECT account, window FROM quotas ORDER BY reported_at DESC LIMIT {MAX_ROWS} OFFSET ?)
"""


def put_quotas(db: sqlite3.Connection, event: Event, at: datetime) -> None:
    """Store the windows that an event of the type ``quota`` reports; the latest report wins."""
    for quota in quotas_of(event, at):
        resets_at = None if quota.resets_at is None else to_micros(quota.resets_at)
        row = quota._replace(
            resets_at=resets_at,  # type: ignore[arg-type]
            reported_at=to_micros(quota.reported_at),  # type: ignore[arg-type]
        )
        db.execute(_PUT, row)
    db.execute(_TRIM, (MAX_QUOTAS,))


def read_quotas(db: sqlite3.Connection) -> list[Quota]:
    """Return the last report of each window, sorted by account and length of the window."""
    query = f"SELECT {', '.join(Quota._fields)} FROM quotas ORDER BY {_ORDER}"
    with closing(db.execute(query)) as rows:
        return [_from_row(Quota(*row)) for row in rows]


def _from_row(row: Any) -> Quota:
    return row._replace(  # type: ignore[no-any-return]
        resets_at=None if row.resets_at is None else from_micros(row.resets_at),
        reported_at=from_micros(row.reported_at),
        official=bool(row.official),
    )
