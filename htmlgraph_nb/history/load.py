"""Load stored history and the current state of agents as typed pandas DataFrames.

A database file, a server, and Parquet or Arrow files give the same columns and dtypes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import pandas as pd

from ..client.discovery import candidates
from ..client.rest import Rest
from ..core.model import LABELS, PRESENCE_COLUMNS, PRESENCE_TIMES, AgentPresence
from ..local_zone import Zone, resolve_zone
from ..storage.database import open_reader, sqlite_errors
from ..storage.schema import HISTORY_COLUMNS
from ..storage.transaction import presence_from_row
from .arguments import (
    LoadingBar,
    NameFilter,
    TimeLike,
    build_query,
    select_columns,
    to_integer,
)
from .frame_builder import TIMESTAMP_DTYPE, FrameBuilder, dtype_of
from .sources import URL_SCHEMES, query_source, resolve_source

HISTORY_DTYPES: dict[str, str] = {name: dtype_of(name) for name in HISTORY_COLUMNS}
"""dtype of each column of ``load_history``.

``timestamp`` is ``datetime64[us]``, in the time zone of the parameter ``tz`` instead of UTC. Ids,
names, models and ``status`` are categoricals; their categories are the values that occur, sorted.
Counts are ``Int64``, because each can be missing, and
``seq`` is ``int64``. ``cost_usd`` is ``float64``, NaN if missing. ``event_id``, ``tool_use_id`` and
``extra`` (JSON) are ``string`` backed by Arrow, which needs no Python object per value.
``agent_status``, ``agent_detail``, ``agent_reason`` (categoricals) and ``agent_attention``
(``boolean``) are the agent's presence after the event; all are missing if it is not decided yet.
``title``, ``branch``, ``cwd``, ``worktree``, ``agent_kind``, ``user``, ``pr`` and
``context_source`` are categoricals, ``context_tokens`` and ``context_window`` ``Int64``; events
without a label have that of their agent, and rows of older versions have none. ``speed``,
``service_tier``, ``inference_geo`` and ``root_agent_id`` are categoricals, ``web_searches`` and
``input_hash`` ``Int64``. ``root_agent_id`` is the topmost ancestor of the agent, without a parent
the agent itself; in rows of older versions it is the parent."""

_PRESENCE_CATEGORIES = (
    *("session_id", "feature_id", "model", "parent_agent_id", "project", "host"),
    *("current_feature_id", "last_tool_name", "detail", *LABELS, "context_source"),
)
PRESENCE_DTYPES: dict[str, str] = {
    "agent_id": "string",
    "status": "category",
    **dict.fromkeys(PRESENCE_TIMES, TIMESTAMP_DTYPE),
    "total_tools_executed": "int64",
    "total_cost_tokens": "int64",
    "total_errors": "int64",
    "reason": "string",
    "attention": "bool",
    "unseen": "bool",
    "hooks": "boolean",
    "alive": "bool",
    "cost_usd": "float64",
    "session_cost_usd": "float64",
    "session_tokens": "int64",
    "unpriced_tokens": "int64",
    "context_tokens": "Int64",
    "context_window": "Int64",
    "seq": "int64",
    **{name: "category" for name in _PRESENCE_CATEGORIES if name in PRESENCE_COLUMNS},
}
"""dtype of each column of ``load_presence``."""
_FIRST_COLUMNS = (
    *("agent_id", "status", "attention", "reason", "title", "project", "branch", "model"),
    *("cost_usd", "total_cost_tokens", "context_tokens", "context_window", "last_tool_name"),
    *("total_tools_executed", "total_errors", "last_activity"),
)
_PRESENCE_ORDER = (*_FIRST_COLUMNS, *(n for n in PRESENCE_COLUMNS if n not in _FIRST_COLUMNS))
"""Columns of ``load_presence``: those that a person looks for first."""

_BATCH_ROWS = 131_072


def load_history(
    source: str | os.PathLike[str] | None = None,
    *,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    features: NameFilter = None,
    event_types: NameFilter = None,
    models: NameFilter = None,
    projects: NameFilter = None,
    hosts: NameFilter = None,
    branches: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    progress: bool | None = None,
    token: str | None = None,
    tz: Zone = None,
) -> pd.DataFrame:
    """Return stored events as a DataFrame, oldest first.

    Args:
        source: a database file, the URL of a server, a Parquet or Arrow file, or a folder of them
            written by ``export_history``. None: ``HTMLGRAPH_URL``, else the database of the server
            running on this machine, else the default database.
        since, until: first time, and time after the last one: an ISO string, a datetime, Timestamp,
            datetime64 or date (its midnight), or a time ago: ``"2h"``, a timedelta, Timedelta or
            timedelta64. Times without a zone are local. None: no bound.
        agents, sessions, tools, features, event_types, models, projects, hosts, branches: one name
            or several to keep. None: all.
        columns: names of HISTORY_DTYPES. None: all.
        limit: most rows. None: all.
        progress: whether to show a progress bar. None: after one second.
        token: secret of the server. None: look it up.
        tz: time zone of ``timestamp``: an IANA name such as ``"Europe/Paris"`` or a tzinfo. None:
            that of this machine. Functions with ``freq`` cut days and weeks in it.

    Returns:
        One row per event with the dtypes of HISTORY_DTYPES, also if there are no rows.
        ``attrs["source"]`` is the path or URL of the source. ``cost_usd`` has only the costs that
        agents reported themselves; ``token_costs`` computes the others from prices.

    Raises:
        InvalidEvent: an invalid time, time zone, column or number.
        StoreError: the file is missing, damaged or too new.
        ConnectError: the server is not reachable or refuses the request.
    """
    query = build_query(
        *(since, until, columns, limit),
        agents=agents,
        sessions=sessions,
        tools=tools,
        features=features,
        event_types=event_types,
        models=models,
        projects=projects,
        hosts=hosts,
        branches=branches,
    )
    zone = resolve_zone(tz)
    location = resolve_source(source)
    result = query_source(location, token, query, _BATCH_ROWS)
    total = None if query.value_filters else result.max_rows
    builder = FrameBuilder(result.columns, total or 0, zone)
    with LoadingBar(progress, " rows", total, "history") as bar:
        for batch in result.batches:
            builder.add(batch)
            bar.update(len(batch))
    frame = builder.frame()
    if not result.in_order:
        if not frame["seq"].is_monotonic_increasing:
            frame = frame.sort_values("seq", kind="stable", ignore_index=True)
        if query.limit is not None and len(frame) > query.limit:
            frame = _drop_unused_categories(frame.head(query.limit).copy())
    frame = select_columns(frame, columns)
    frame.attrs["source"] = location
    return frame


def iter_history(
    source: str | os.PathLike[str] | None = None,
    *,
    chunk_rows: int = 500_000,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    features: NameFilter = None,
    event_types: NameFilter = None,
    models: NameFilter = None,
    projects: NameFilter = None,
    hosts: NameFilter = None,
    branches: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    progress: bool | None = None,
    token: str | None = None,
    tz: Zone = None,
) -> Iterator[pd.DataFrame]:
    """Yield stored events as DataFrames of ``chunk_rows`` rows, for history larger than memory.

    Nothing is read before the first chunk is requested. Other arguments and errors are those of
    ``load_history``.

    Args:
        chunk_rows: rows of each chunk except the last. Memory holds about two chunks.

    Returns:
        DataFrames as from ``load_history``, each with its own categories. They are in order of
        ``seq``, or in order of the files for a folder of files.
    """
    chunk_rows = to_integer(chunk_rows, "chunk_rows", 1) or 1
    query = build_query(
        *(since, until, columns, limit),
        agents=agents,
        sessions=sessions,
        tools=tools,
        features=features,
        event_types=event_types,
        models=models,
        projects=projects,
        hosts=hosts,
        branches=branches,
    )
    zone = resolve_zone(tz)
    location = resolve_source(source)
    result = query_source(location, token, query, min(_BATCH_ROWS, chunk_rows))
    left = query.limit
    builder = FrameBuilder(result.columns, zone=zone)
    total = None if query.value_filters else result.max_rows
    with LoadingBar(progress, " rows", total, "history") as bar:
        for batch in result.batches:
            used = 0
            while used < len(batch) and left != 0:
                room = chunk_rows - builder.n_rows
                part = batch.slice(used, room if left is None else min(room, left))
                used += len(part)
                left = None if left is None else left - len(part)
                builder.add(part)
                bar.update(len(part))
                if builder.n_rows == chunk_rows:
                    yield _chunk(builder, columns, location)
                    builder = FrameBuilder(result.columns, zone=zone)
            if left == 0:
                break
    if builder.n_rows:
        yield _chunk(builder, columns, location)


def _chunk(builder: FrameBuilder, columns: NameFilter, location: str) -> pd.DataFrame:
    frame = select_columns(builder.frame(), columns)
    frame.attrs["source"] = location
    return frame


def _drop_unused_categories(frame: pd.DataFrame) -> pd.DataFrame:
    for name in frame.columns:
        if HISTORY_DTYPES[name] == "category":
            frame[name] = frame[name].cat.remove_unused_categories()
    return frame


def load_presence(
    source: str | os.PathLike[str] | None = None, *, token: str | None = None, tz: Zone = None
) -> pd.DataFrame:
    """Return the current state of every agent; arguments and errors as for ``load_history``.

    Totals such as ``total_cost_tokens`` and ``cost_usd`` count from when the server last removed
    the agent, by default after 24 hours without an event; the history has all events.

    Returns:
        One row per agent with the dtypes of PRESENCE_DTYPES; times are in the time zone ``tz``.
    """
    tz = resolve_zone(tz)
    location = resolve_source(source)
    if location.startswith(URL_SCHEMES):
        agents = Rest(lambda: candidates(location, token)).presence().values()
        return presence_frame(agents, tz)
    db = open_reader(location)
    try:
        with sqlite_errors(location):
            text = f"SELECT {', '.join(PRESENCE_COLUMNS)} FROM agent_presence ORDER BY agent_id"
            return presence_frame([presence_from_row(row) for row in db.execute(text)], tz)
    finally:
        db.close()


def presence_frame(agents: Iterable[AgentPresence], tz: Zone = None) -> pd.DataFrame:
    """Return agents as a DataFrame with the dtypes of PRESENCE_DTYPES.

    Args:
        tz: time zone of the times, as for ``load_history``.
    """
    rows = [tuple(getattr(agent, name) for name in _PRESENCE_ORDER) for agent in agents]
    return typed_frame(rows, _PRESENCE_ORDER, PRESENCE_DTYPES, resolve_zone(tz))


def typed_frame(
    rows: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    dtypes: Mapping[str, str],
    zone: str | tzinfo = "UTC",
) -> pd.DataFrame:
    """Return rows as a DataFrame with these columns and dtypes, also if there are no rows.

    Args:
        zone: time zone of all times, instead of that of their dtype.
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pd.DataFrame(
        {
            name: _series(values, dtypes[name], zone)
            for name, values in zip(names, columns, strict=True)
        }
    )


def _series(values: Sequence[Any], dtype: Any, zone: str | tzinfo) -> Any:
    if dtype == TIMESTAMP_DTYPE:
        times = pd.Series(pd.to_datetime(list(values), utc=True)).astype(dtype)
        return times.dt.tz_convert(zone)
    if dtype == "category":
        return pd.Series(list(values), dtype="string").astype("category")
    return pd.Series(list(values), dtype=dtype)
