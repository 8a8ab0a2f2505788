"""Tables and columns of the database; ``migrations`` creates them.

``events`` is the append-only history; its ids are the seq of the changes. Ids and names are small
integers that refer to ``names``; the view ``history`` shows them as text. The column ``decision``
refers to ``decisions``: the agent's status after the event, its detail, reason and attention.
``agent_presence`` is the current state, with the evidence behind it as JSON. ``segments`` lists the
columnar copies of history beside the file: range of ids, size, checksum, earliest and latest time.
``observations`` holds the dedup keys of events that several sources may report, one row a report.
``quotas`` holds the last report of each usage window of an account (times in microseconds since
1970), ``alerts`` what fired and ``alert_deliveries`` the messages to channels, ``session_files``
the session files whose content was imported, as they were then, ``tokens`` who may use a server.
``session_names`` holds the names that hooks give to agents, ``counter_streams`` and
``counter_sessions`` how far token counters were read (times in nanoseconds since 1970).

The column ``root`` of ``events`` is the topmost ancestor of the agent. It is NULL if that is the
parent of the row or, in a row without a parent, the agent itself; so it is in most rows, and in all
rows of versions before 6.
"""

from __future__ import annotations

from collections.abc import Sequence

NAMED = {
    "agent": "agent_id",
    "type": "event_type",
    "session": "session_id",
    "tool": "tool_name",
    "feature": "feature_id",
    "model": "model",
    "parent": "parent_agent_id",
    "project": "project",
    "host": "host",
    "source": "source",
    "title": "title",
    "branch": "branch",
    "cwd": "cwd",
    "worktree": "worktree",
    "kind": "agent_kind",
    "user": "user",
    "pr": "pr",
    "context_source": "context_source",
    "speed": "speed",
    "tier": "service_tier",
    "geo": "inference_geo",
}
"""Columns of ``events`` that hold a number of ``names`` → the Event field that they stand for."""

PLAIN = (
    "event_id",
    "tool_use_id",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "cost_tokens",
    "cost_usd",
    "duration_ms",
    "context_tokens",
    "context_window",
    "web_searches",
    "input_hash",
)
"""Columns of ``events`` that hold an Event field as it is."""

EVENT_COLUMNS = ("id", "ts", *NAMED, *PLAIN, "status", "extra", "decision", "root")

ROOT = "root_agent_id"
"""Column of history with the topmost ancestor of the agent, which an agent without a parent is
itself."""

DECISION = {
    "agent_status": "status",
    "agent_detail": "detail",
    "agent_reason": "reason",
    "agent_attention": "attention",
}
"""Columns of history that ``events.decision`` refers to → their columns in ``decisions``."""

_ADDED_COLUMNS = {
    3: (
        *("seq", "timestamp", "agent_id", "event_type", "session_id", "tool_name", "tool_use_id"),
        *("feature_id", "model", "status", "input_tokens", "cache_read_tokens"),
        *("cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "cost_tokens"),
        *("cost_usd", "duration_ms", "parent_agent_id", "project", "host", "source", "event_id"),
        "extra",
    ),
    4: (*DECISION,),
    5: (
        *("title", "branch", "cwd", "worktree", "agent_kind", "user", "pr", "context_source"),
        *("context_tokens", "context_window"),
    ),
    6: ("speed", "service_tier", "inference_geo", "web_searches", "input_hash", ROOT),
}


def columns_of_version(version: int) -> tuple[str, ...]:
    """Return the columns of the view ``history`` in their order, by the version of the schema.

    Args:
        version: 3 or more; before 3 they are the same.
    """
    return tuple(c for added, names in _ADDED_COLUMNS.items() if added <= version for c in names)


HISTORY_COLUMNS = columns_of_version(max(_ADDED_COLUMNS))
"""Columns of the view ``history`` in their order; ``timestamp`` is microseconds since 1970.

In rows of older versions the columns of DECISION are NULL until ``fill_decisions`` has run, and
those of later versions, except ROOT, stay NULL.
"""
EARLIER_COLUMNS = tuple(map(columns_of_version, sorted(_ADDED_COLUMNS, reverse=True)[1:]))
"""All columns of history in files of earlier versions, the newest version first."""
OPTIONAL_COLUMNS = HISTORY_COLUMNS[len(columns_of_version(3)) :]
"""Columns that files of older versions do not have."""


_FIELD_TO_NUMBER = {field: column for column, field in NAMED.items()} | {ROOT: "root"}
_RAW_NAMES = {
    "seq": "id",
    "timestamp": "ts",
    **_FIELD_TO_NUMBER,
    **dict.fromkeys(DECISION, "decision"),
}
_RAW_TERMS = {"root": "coalesce(e.root, e.parent, e.agent)"}
_EXPRESSIONS = {"status": "CASE e.status WHEN 0 THEN 'ok' WHEN 1 THEN 'error' END"}


def raw_name(field: str) -> str:
    """Return the column of ``events`` behind a column of history."""
    return _RAW_NAMES.get(field, field)


def raw_term(column: str) -> str:
    """Return the SQL expression of a column of ``events e``; no ROOT is NULL."""
    return _RAW_TERMS.get(column, f"e.{column}")


def select_history(columns: Sequence[str]) -> str:
    """Return ``SELECT … FROM events e …`` of these columns of HISTORY_COLUMNS.

    Only the names that are asked for are looked up.
    """
    terms, joins = [], []
    decided = False
    for field in columns:
        number = _FIELD_TO_NUMBER.get(field)
        if field in DECISION:
            terms.append(f"d.{DECISION[field]} AS {field}")
            decided = True
        elif number is None:
            terms.append(f"{_EXPRESSIONS.get(field) or raw_term(raw_name(field))} AS {field}")
        else:
            terms.append(f"n_{number}.name AS {field}")
            joins.append(f" LEFT JOIN names n_{number} ON n_{number}.id = {raw_term(number)}")
    if decided:
        joins.append(" LEFT JOIN decisions d ON d.id = e.decision")
    return f"SELECT {', '.join(terms)} FROM events e{''.join(joins)}"


def named_in(field: str, n_values: int) -> str:
    """Return the condition that a field of NAMED, or ROOT, is one of ``n_values`` texts."""
    marks = ", ".join("?" * n_values)
    return f"{raw_term(_FIELD_TO_NUMBER[field])} IN (SELECT id FROM names WHERE name IN ({marks}))"


UNDECIDED_SEQ = "undecided_seq"
"""Key in ``meta``: events up to this seq may have no decision; 0: all have one."""

SEQ_FLOOR = "seq_floor"
"""Key in ``meta``: events get numbers above it, because the file once had events up to it."""

MAX_ROWS = 2**62
"""A LIMIT that no table reaches, where an OFFSET needs one."""
PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
"""Statement that stores a key and its value."""
