"""Arguments of the reports, checked without importing pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.validation import shorten
from ..errors import InvalidEvent

COST_KEYS = (
    *("model", "project", "branch", "agent_kind", "agent_id", "root_agent_id", "session_id"),
    *("feature_id", "user", "host", "speed", "service_tier", "inference_geo"),
)
"""Columns by which costs can be grouped."""
COST_ALIASES = {
    "agent": "agent_id",
    "session": "session_id",
    "feature": "feature_id",
    "kind": "agent_kind",
    "tier": "service_tier",
    "geo": "inference_geo",
    "root": "root_agent_id",
}
"""Short names of some of COST_KEYS."""
MAX_COST_KEYS = 3
SESSION_FILTERS = ("agent_kind", "project", "branch", "model", "status")
"""Columns by which sessions can be filtered."""
SESSION_COLUMNS = (
    *("agent_id", "session_id", "title", "agent_kind", "project", "branch", "model", "status"),
    *("start", "end", "wall", "active", "waiting", "idle", "turns", "tools", "errors", "features"),
    *("subagents", "tokens", "usd", "unpriced_tokens", "context_tokens", "peak_context_tokens"),
    *("parent_agent_id", "cwd", "host"),
)
"""Columns of a report of sessions, in this order; it can be sorted by each."""
_DAY_S = 86_400
FREQS = {
    "15min": 900,
    "h": 3_600,
    "D": _DAY_S,
    **dict.fromkeys((f"W-{day}" for day in "MON TUE WED THU FRI SAT SUN".split()), 7 * _DAY_S),
    "MS": 28 * _DAY_S,
    "QS": 89 * _DAY_S,
    "YS": 365 * _DAY_S,
}
"""Lengths of periods → their least number of seconds, changes of the clock apart."""


@dataclass(frozen=True, slots=True)
class SessionSelection:
    """Which sessions of a report to return.

    Attributes:
        search: words; each must occur in the title, ids, kind, project, branch or model. "": all.
        filters: column of SESSION_FILTERS → values to keep, "" for a missing one.
        sessions: session ids to keep. None: all.
        sort: name of a column, ``-`` before it for descending order.
    """

    search: str = ""
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sessions: Sequence[str] | None = None
    sort: str = "-start"


def check_cost_keys(by: Sequence[str]) -> None:
    """Check the columns by which costs are grouped.

    Raises:
        InvalidEvent: an unknown column, or too many.
    """
    for name in by:
        if name not in COST_KEYS:
            raise InvalidEvent(
                f"by: expected some of {', '.join(COST_KEYS)}, got {shorten(name)}", "by"
            )
    if len(by) > MAX_COST_KEYS:
        raise InvalidEvent(f"by: at most {MAX_COST_KEYS} allowed, got {len(by)}", "by")


def check_freq(freq: str | None) -> None:
    """Check the length of a period; None: no periods.

    Raises:
        InvalidEvent: it is none of FREQS.
    """
    if freq is not None and freq not in FREQS:
        raise InvalidEvent(f"freq: expected one of {', '.join(FREQS)}, got {shorten(freq)}", "freq")


def check_session_sort(sort: str) -> None:
    """Check the order of sessions.

    Raises:
        InvalidEvent: it names no column.
    """
    if sort.removeprefix("-") not in SESSION_COLUMNS:
        raise InvalidEvent(
            f"sort: expected one of {', '.join(SESSION_COLUMNS)}, with - before it for descending "
            f"order, got {shorten(sort)}",
            "sort",
        )
