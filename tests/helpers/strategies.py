"""Hypothesis strategies for the values of the pure core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from htmlgraph_nb.core.model import LABELS, TARIFF_FIELDS, AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.reducer import KNOWN_TYPES
from htmlgraph_nb.core.validation import MAX_INTEGER

T0 = datetime(2025, 1, 14, 14, 50, 30, tzinfo=UTC)
"""The start time of the tests."""


def at(seconds: float) -> datetime:
    """Return the time ``seconds`` after T0."""
    return T0 + timedelta(seconds=seconds)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(categories=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
"""Values that a JSON parser can return, including lone surrogates, NaN and huge numbers."""


def hostile_values(
    *texts: str, nested: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[Any]:
    """Return values of a field that an agent's file or hook may contain, but should not.

    Args:
        texts: strings that have a meaning in this format.
        nested: objects; None: objects of short texts.
    """
    short = st.text(max_size=5)
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=400),
        st.sampled_from(["\0", "\ud800", "x" * 5_000, *texts]),
        st.lists(st.integers(), max_size=3),
        st.dictionaries(short, short, max_size=3) if nested is None else nested,
    )


storable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_ascii = st.characters(codec="ascii", exclude_characters="\0")
names = st.text(_ascii, min_size=1, max_size=20) | st.text(storable, min_size=1, max_size=20)
terms = st.text(_ascii, min_size=1, max_size=64)
counts = st.integers(0, MAX_INTEGER)
dollars = st.floats(0, 1e6)
timestamps = st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))
extras = st.dictionaries(
    st.text(storable, max_size=8),
    st.none() | st.booleans() | counts | st.text(storable, max_size=8) | st.lists(counts),
    max_size=3,
)


def _optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


events = st.builds(
    Event,
    agent_id=names,
    event_type=st.sampled_from(sorted(KNOWN_TYPES)) | names,
    timestamp=_optional(timestamps),
    **dict.fromkeys(
        "event_id session_id tool_name tool_use_id feature_id model parent_agent_id project host "
        "source title branch cwd worktree agent_kind user pr context_source".split(),
        _optional(names),
    ),
    status=st.sampled_from([None, "ok", "error"]),
    **dict.fromkeys(
        "input_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens "
        "cost_tokens duration_ms context_tokens context_window web_searches input_hash".split(),
        _optional(counts),
    ),
    **dict.fromkeys(TARIFF_FIELDS, _optional(terms)),
    cost_usd=_optional(dollars),
    extra=_optional(extras),
)
"""Events with any field set or absent."""

presences = st.builds(
    AgentPresence,
    agent_id=names,
    status=st.sampled_from(PresenceStatus),
    **dict.fromkeys(
        "current_feature_id last_tool_name session_id reason model project host "
        "parent_agent_id".split(),
        _optional(names),
    ),
    last_activity=timestamps,
    total_tools_executed=counts,
    total_cost_tokens=counts,
    detail=st.sampled_from(["working", "tool", "waiting_permission", "done", "unknown"]),
    since=_optional(timestamps),
    attention=st.booleans(),
    cost_usd=_optional(dollars),
    total_errors=counts,
    seq=counts,
    **dict.fromkeys((*LABELS, "context_source"), _optional(names)),
    **dict.fromkeys(("context_tokens", "context_window"), _optional(counts)),
    **dict.fromkeys(("compacted_at", "detail_since", "detail_until"), _optional(timestamps)),
    **dict.fromkeys(("unseen", "alive"), st.booleans()),
    **dict.fromkeys(("session_tokens", "unpriced_tokens"), counts),
    hooks=_optional(st.booleans()),
    session_cost_usd=_optional(dollars),
)
"""Presences with any field set or absent."""

STATUS_EXTRAS: list[dict[str, Any] | None] = [
    None,
    {"background_tasks": 2},
    {"asks": "plan"},
    {"asks": "input"},
    {"question": True},
    {"task_id": "b1"},
    {"background_tasks": 0},
    {"child_agent_id": "child-1"},
    {"child_agent_id": "child-2"},
    {"notification_type": "permission_prompt"},
    {"notification_type": "idle_prompt"},
    {"notification_type": "agent_needs_input"},
    {"notification_type": "elicitation_dialog"},
    {"notification_type": "auth_success"},
    {"cannot_work": "rate_limited", "until": "2025-01-14T15:00:00Z"},
    {"cannot_work": "signed_out"},
    {"attempt": 3, "max_attempts": 10},
    {"compacted": True},
    {"title_default": True},
    {"cleared": ["title", "branch"]},
]
"""Values of ``extra`` that matter for a status, and one that does not."""

_details = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from([*sorted(KNOWN_TYPES - {"forget"}), "activity"]),
        "tool_name": st.sampled_from([None, "Bash", "Edit"]),
        "tool_use_id": st.sampled_from([None, "t1", "t2"]),
        "extra": st.sampled_from(STATUS_EXTRAS),
        "input_tokens": st.sampled_from([None, 7, 1000]),
        "cost_usd": st.sampled_from([None, 0.25, 1.5]),
        "title": st.sampled_from([None, "Fix it", "Ship it"]),
        "branch": st.sampled_from([None, "main", "fix"]),
        "context_tokens": st.sampled_from([None, 7, 250_000]),
        "context_window": st.sampled_from([None, 200_000]),
    }
)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12, agent_id: str = "claude-1") -> list[Event]:
    """Draw the events of one agent in one session, with distinct ascending timestamps."""
    rows = draw(st.lists(_details, min_size=1, max_size=max_size))
    steps = draw(st.lists(st.integers(1, 400_000_000), min_size=len(rows), max_size=len(rows)))
    timestamp, drawn = T0, []
    for row, step in zip(rows, steps, strict=True):
        timestamp += timedelta(microseconds=step)
        drawn.append(Event(agent_id=agent_id, session_id="s1", timestamp=timestamp, **row))
    return drawn
