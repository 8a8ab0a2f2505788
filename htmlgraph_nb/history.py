"""The stored history and the present state as typed pandas DataFrames.

From a database file they are read as they are in it; from a server through its API. Both give the
same columns and dtypes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from .checks import clip
from .discovery import candidates
from .errors import InvalidEvent
from .locations import default_db, running_server
from .model import PRESENCE_COLUMNS, AgentPresence
from .query import HistoryQuery, read_chunks
from .rest import Rest
from .schema import HISTORY_COLUMNS
from .store import open_reader, translated
from .times import to_rfc3339
from .transaction import presence_of
from .wire import dumps

_TIME = "datetime64[us, UTC]"
_CATEGORIES = (
    *("agent_id", "event_type", "session_id", "tool_name", "feature_id", "model", "status"),
    *("parent_agent_id", "project", "host", "source", "current_feature_id", "last_tool_name"),
    "detail",
)
HISTORY_DTYPES: dict[str, str] = {
    "seq": "int64",
    "timestamp": _TIME,
    "tool_use_id": "string",
    "event_id": "string",
    "extra": "string",
    "input_tokens": "Int64",
    "cache_read_tokens": "Int64",
    "cache_write_5m_tokens": "Int64",
    "cache_write_1h_tokens": "Int64",
    "output_tokens": "Int64",
    "cost_tokens": "Int64",
    "duration_ms": "Int64",
    "cost_usd": "float64",
    **{name: "category" for name in _CATEGORIES if name in HISTORY_COLUMNS},
}
"""dtype of each column of ``load_history``; ``extra`` is JSON text."""

PRESENCE_DTYPES: dict[str, str] = {
    "agent_id": "string",
    "status": "category",
    "last_activity": _TIME,
    "since": _TIME,
    "total_tools_executed": "int64",
    "total_cost_tokens": "int64",
    "total_errors": "int64",
    "reason": "string",
    "attention": "bool",
    "cost_usd": "float64",
    "seq": "int64",
    **{name: "category" for name in _CATEGORIES if name in PRESENCE_COLUMNS[1:]},
}
"""dtype of each column of ``load_presence``."""

Names = str | Sequence[str] | None
Moment = str | datetime | pd.Timestamp | pd.Timedelta | None


def load_history(
    source: str | os.PathLike[str] | None = None,
    *,
    since: Moment = None,
    until: Moment = None,
    agents: Names = None,
    sessions: Names = None,
    tools: Names = None,
    features: Names = None,
    event_types: Names = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    token: str | None = None,
) -> pd.DataFrame:
    """Return stored events, oldest first.

    Args:
        source: a database file or a server's URL; None: ``HTMLGRAPH_URL``, else the file of the
            server that runs on this machine, else the default file.
        since, until: from and up to (not including) this time: an ISO text, a datetime, or how
            long ago as ``"2h"`` or a Timedelta; naive times are local; None: no bound.
        agents, sessions, tools, features, event_types: one name or several; None: all.
        columns: names of HISTORY_DTYPES; None: all.
        limit: most rows; None: all.
        token: a server's secret; None: the one that is known for it.

    Returns:
        One row an event with the dtypes of HISTORY_DTYPES, also where there are no rows.

    Raises:
        InvalidEvent: a time or a column that cannot be read.
        StoreError: the file is missing, damaged or too new.
        ConnectError: the server does not answer, or refuses.
    """
    query = HistoryQuery(
        since=_moment(since, "since"),
        until=_moment(until, "until"),
        agents=_names(agents),
        sessions=_names(sessions),
        tools=_names(tools),
        features=_names(features),
        event_types=_names(event_types),
        columns=tuple(columns) if columns is not None else HISTORY_COLUMNS,
        limit=limit,
    )
    place, is_url = _place(source)
    rows = _rows_of_server(place, token, query) if is_url else _rows_of_file(place, query)
    return _frame(rows, query.row_columns, HISTORY_DTYPES)[list(query.columns)]


def load_presence(
    source: str | os.PathLike[str] | None = None, *, token: str | None = None
) -> pd.DataFrame:
    """Return what is known of every agent now; arguments and errors as in ``load_history``.

    Returns:
        One row an agent with the dtypes of PRESENCE_DTYPES.
    """
    place, is_url = _place(source)
    if is_url:
        return presence_frame(Rest(lambda: candidates(place, token)).presence().values())
    db = open_reader(place)
    try:
        with translated(place):
            text = f"SELECT {', '.join(PRESENCE_COLUMNS)} FROM agent_presence ORDER BY agent_id"
            return presence_frame([presence_of(row) for row in db.execute(text)])
    finally:
        db.close()


def presence_frame(agents: Iterable[AgentPresence]) -> pd.DataFrame:
    """Return presences as a DataFrame with the dtypes of PRESENCE_DTYPES."""
    rows = [tuple(getattr(agent, name) for name in PRESENCE_COLUMNS) for agent in agents]
    return _frame(rows, PRESENCE_COLUMNS, PRESENCE_DTYPES)


def _place(source: str | os.PathLike[str] | None) -> tuple[str, bool]:
    """Return a file's path or a server's URL, and whether it is a URL."""
    if source is None:
        if os.environ.get("HTMLGRAPH_URL"):
            return os.environ["HTMLGRAPH_URL"], True
        own = running_server().get("db", "")
        return (own if own and os.path.exists(own) else default_db()), False
    text = os.fspath(source)
    return text, text.startswith(("http://", "https://", "ws://", "wss://"))


def _names(value: Names) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else [str(name) for name in value]


def _moment(value: Moment, name: str) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = _read_moment(value, name)
    if isinstance(value, pd.Timedelta):
        value = datetime.now(UTC) - value.to_pytimedelta()
    moment = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
    return moment.astimezone(UTC)


def _read_moment(text: str, name: str) -> datetime | pd.Timedelta:
    if text in ("today", "yesterday"):
        day = date.today() - timedelta(days=1 if text == "yesterday" else 0)
        # Midnight by the local clock, also where the clocks change in between.
        return datetime(day.year, day.month, day.day).astimezone()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        # pandas wants days and weeks as D and W, and warns of small letters.
        ago: Any = pd.Timedelta(
            re.sub(r"(?<=[\d ])[dw](?![a-z])", lambda unit: unit[0].upper(), text)
        )
    except ValueError:
        ago = pd.NaT
    if isinstance(ago, pd.Timedelta):
        return ago
    raise InvalidEvent(
        f"{name} is {clip(text)}, expected an ISO time as 2025-01-14T14:50, "
        "how long ago as 2h or 3d, today or yesterday",
        name,
    )


def _rows_of_file(path: str, query: HistoryQuery) -> list[tuple[Any, ...]]:
    db = open_reader(path)
    try:
        with translated(path):
            return [row for chunk in read_chunks(db, query, 10_000) for row in chunk]
    finally:
        db.close()


def _rows_of_server(url: str, token: str | None, query: HistoryQuery) -> list[tuple[Any, ...]]:
    names = query.row_columns
    events = Rest(lambda: candidates(url, token)).history(_parameters(query), query.limit)
    rows = []
    for event in events:
        if event.get("extra") is not None:
            event["extra"] = dumps(event["extra"])
        rows.append(tuple(event[name] for name in names))
    return rows


def _parameters(query: HistoryQuery) -> list[tuple[str, str]]:
    lists: Mapping[str, Sequence[str] | None] = {
        "agent": query.agents,
        "session": query.sessions,
        "tool": query.tools,
        "feature": query.features,
        "event_type": query.event_types,
    }
    found = [(name, value) for name, values in lists.items() for value in values or ()]
    for name, moment in (("since", query.since), ("until", query.until)):
        if moment is not None:
            found.append((name, to_rfc3339(moment)))
    return [*found, ("columns", ",".join(query.columns))]


def _frame(
    rows: Sequence[tuple[Any, ...]], names: Sequence[str], dtypes: Mapping[str, str]
) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pd.DataFrame(
        {name: _series(values, dtypes[name]) for name, values in zip(names, columns, strict=True)}
    )


def _series(values: Sequence[Any], dtype: Any) -> Any:
    if dtype == _TIME:
        # Microseconds from a file, RFC 3339 from a server, datetimes from presences.
        first = next((value for value in values if value is not None), None)
        if isinstance(first, int):
            return pd.to_datetime(pd.Series(values, dtype="int64"), unit="us", utc=True).astype(
                dtype
            )
        return pd.Series(pd.to_datetime(list(values), utc=True)).astype(dtype)
    if dtype == "category":
        return pd.Series(list(values), dtype="string").astype("category")
    return pd.Series(list(values), dtype=dtype)
