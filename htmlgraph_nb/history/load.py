"""Load stored history and the current state of agents as typed pandas DataFrames.

A database file, a server, and Parquet or Arrow files give the same columns and dtypes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Literal, overload

import pandas as pd

from ..client.discovery import candidates
from ..client.rest import Rest
from ..core.model import LABELS, PRESENCE_COLUMNS, PRESENCE_TIMES, AgentPresence
from ..core.validation import format_value
from ..errors import InvalidEvent
from ..local_zone import Zone, resolve_zone
from ..storage.database import open_reader, sqlite_errors
from ..storage.schema import HISTORY_COLUMNS
from ..storage.transaction import presence_from_row
from .arguments import (
    NameFilter,
    TimeLike,
    build_query,
    select_columns,
    suggest_arguments,
)
from .frame_builder import SOURCE_NAME, TIMESTAMP_DTYPE, dtype_of
from .sources import URL_SCHEMES, Sources, list_sources
from .tables import (
    READ_ROWS,
    load_frame,
    load_table,
    polars_of_table,
    query_sources,
    table_in_zone,
)

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

_RESULTS = ("pandas", "arrow", "polars")


@overload
def load_history(
    source: Sources = None,
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
    to: Literal["pandas"] = "pandas",
    progress: bool | None = None,
    token: str | None = None,
    tz: Zone = None,
) -> pd.DataFrame: ...


@overload
def load_history(
    source: Sources = None,
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
    to: Literal["arrow", "polars"],
    progress: bool | None = None,
    token: str | None = None,
    tz: Zone = None,
) -> Any: ...


@suggest_arguments
def load_history(
    source: Sources = None,
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
    to: str = "pandas",
    progress: bool | None = None,
    token: str | None = None,
    tz: Zone = None,
) -> Any:
    """Return stored events as a DataFrame, oldest first.

    Args:
        source: a database file, the URL of a server, a Parquet, Arrow or CSV file, or a folder of
            them written by ``export_history``. Several: a list of these, a dict of them by name, or
            a pattern such as ``"*.db"``. None: ``HTMLGRAPH_URL``, else the database of the server
            running on this machine, else the default database.
        since, until: first time, and time after the last one: an ISO string, a datetime, Timestamp,
            datetime64 or date (its midnight), or a time ago: ``"2h"``, a timedelta, Timedelta or
            timedelta64. Times without a zone are local. None: no bound.
        agents, sessions, tools, features, event_types, models, projects, hosts, branches: one name
            or several to keep. None: all. A project's name selects all folders of that name, with
            the folder above (``"acme/api"``) only that one.
        columns: names of HISTORY_DTYPES. None: all.
        limit: most rows. None: all.
        to: "pandas", "arrow" for a pyarrow.Table, or "polars" for a polars.DataFrame.
        progress: whether to show a progress bar. None: after one second.
        token: secret of the server. None: look it up.
        tz: time zone of ``timestamp``: an IANA name such as ``"Europe/Paris"`` or a tzinfo. None:
            that of this machine. Functions with ``freq`` cut days and weeks in it.

    Returns:
        One row per event with the dtypes of HISTORY_DTYPES, also if there are no rows.
        ``attrs["source"]`` is the path or URL of the source. Rows are sorted by ``seq``, the order
        in which they were stored. Of several sources they are sorted by time; the categorical
        ``source_name`` says which one a row is from: its path or URL, or its name in the dict; and
        each event is there once, from the first source that has it. Events are the same if they
        have the same ``event_id``; without one, if all of seq, time, agent, type, session, tool,
        call, host and source are equal, as in two copies of a database. ``cost_usd`` has only the
        costs that agents reported themselves; ``token_costs`` computes the others from prices.

    Raises:
        InvalidEvent: an invalid source, time, time zone, column or number, or polars is missing.
        TypeError: an unknown argument.
        StoreError: the file is missing, damaged or too new, or no file matches the pattern.
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
    if to not in _RESULTS:
        raise InvalidEvent(f"to: expected {', '.join(_RESULTS)}, got {format_value(to)}", "to")
    result, attribute = query_sources(source, token, query, READ_ROWS)
    if to != "pandas":
        table = table_in_zone(load_table(result, query, progress), zone)
        return table if to == "arrow" else polars_of_table(table)
    frame = select_columns(load_frame(result, query, zone, progress), columns)
    frame.attrs["source"] = attribute
    return frame


@suggest_arguments
def load_presence(
    source: Sources = None, *, token: str | None = None, tz: Zone = None
) -> pd.DataFrame:
    """Return the current state of every agent; arguments and errors as for ``load_history``.

    Totals such as ``total_cost_tokens`` and ``cost_usd`` count from when the server last removed
    the agent, by default after 24 hours without an event; the history has all events.

    Returns:
        One row per agent with the dtypes of PRESENCE_DTYPES; times are in the time zone ``tz``. Of
        several sources, one row per agent and source, and the column ``source_name``.
    """
    zone = resolve_zone(tz)
    named, several = list_sources(source)
    agents = {name: load_agents(location, token) for name, location in named.items()}
    frame = presence_frame([agent for present in agents.values() for agent in present], zone)
    if several:
        names = [name for name, present in agents.items() for _ in present]
        frame[SOURCE_NAME] = _series(names, "category", zone)
    return frame


def load_agents(location: str, token: str | None = None) -> list[AgentPresence]:
    """Return the current state of every agent of one source; errors as for ``load_history``.

    Args:
        location: a database file, or the URL of a server.
        token: secret of the server; None: look it up.
    """
    if location.startswith(URL_SCHEMES):
        return [*Rest(lambda: candidates(location, token)).presence().values()]
    db = open_reader(location)
    try:
        with sqlite_errors(location):
            text = f"SELECT {', '.join(PRESENCE_COLUMNS)} FROM agent_presence ORDER BY agent_id"
            return [presence_from_row(row) for row in db.execute(text)]
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
