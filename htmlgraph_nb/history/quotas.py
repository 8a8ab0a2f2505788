"""Load the reported use of usage limits as a typed pandas DataFrame."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from ..core.model import Event
from ..local_zone import Zone, resolve_zone
from ..storage.quota_table import quotas_of
from .arguments import TimeLike
from .frame_builder import TIMESTAMP_DTYPE
from .load import load_history, typed_frame

QUOTA_DTYPES: dict[str, str] = {
    "timestamp": TIMESTAMP_DTYPE,
    "account": "category",
    "window": "category",
    "minutes": "Int64",
    "used_percent": "float64",
    "resets_at": TIMESTAMP_DTYPE,
    "plan": "category",
    "official": "bool",
    "agent_kind": "category",
    "agent_id": "category",
    "source": "category",
}
"""dtype of each column of ``load_quotas``."""

_EVENT_COLUMNS = ("timestamp", "agent_id", "source", "agent_kind", "extra")


def load_quotas(
    source: str | os.PathLike[str] | None = None,
    *,
    since: TimeLike = None,
    until: TimeLike = None,
    token: str | None = None,
    tz: Zone = None,
) -> pd.DataFrame:
    """Return every stored report of a usage limit, one row per report and window, oldest first.

    Args:
        source, since, until, token, tz: as for ``load_history``.

    Returns:
        The columns of QUOTA_DTYPES. ``account`` is "claude", "codex" …; ``window`` its name ("5h",
        "weekly", "90m") and ``minutes`` its length. ``used_percent`` is 0 to 100 or more,
        ``resets_at`` the end of the window (NaT if unknown). ``official`` is False for estimates.
        ``agent_id`` and ``source`` say who reported it. ``attrs["source"]`` is the path or URL.

    Raises:
        InvalidEvent: an invalid time. Other errors as for ``load_history``.
    """
    zone = resolve_zone(tz)
    events = load_history(
        source,
        since=since,
        until=until,
        event_types="quota",
        columns=_EVENT_COLUMNS,
        token=token,
        progress=False,
        tz=UTC,
    )
    now = datetime.now(UTC)
    rows: list[tuple[Any, ...]] = []
    for timestamp, agent_id, reporter, kind, extra in events.itertuples(index=False, name=None):
        event = Event(
            agent_id=agent_id,
            event_type="quota",
            timestamp=timestamp.to_pydatetime(),
            source=_known(reporter),
            agent_kind=_known(kind),
            extra=json.loads(extra) if isinstance(extra, str) else None,
        )
        for quota in quotas_of(event, now):
            row = {**quota._asdict(), "timestamp": event.timestamp, "agent_id": agent_id}
            rows.append(tuple(row[name] for name in QUOTA_DTYPES))
    # Rows are read in the order of their storage: imports add past sessions after newer ones.
    frame = typed_frame(rows, tuple(QUOTA_DTYPES), QUOTA_DTYPES, zone)
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True)
    frame.attrs["source"] = events.attrs["source"]
    return frame


def _known(value: object) -> str | None:
    return value if isinstance(value, str) else None
