"""Agents as a terminal shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from htmlgraph_nb.client.agent_view import (
    AGENT_CELLS,
    agent_cells,
    agent_name,
    compact_count,
    context_share,
    count_states,
    dollar_text,
    group_of,
    matches_text,
    reason_text,
    short_agent_id,
    sort_agents,
    span_text,
    state_of,
    state_text,
    visible_text,
)
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def agent(agent_id: str = "claude-1", status: str = "active", **fields: Any) -> AgentPresence:
    """Return an agent that was last active a minute ago."""
    fields = {"last_activity": NOW - timedelta(minutes=1), **fields}
    return AgentPresence(agent_id, status=PresenceStatus(status), **fields)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"attention": True}, "waiting"),
        ({"detail": "usage_limited"}, "cannot_work"),
        ({"detail": "usage_limited", "status": "offline"}, "offline"),
        ({"status": "idle", "unseen": True}, "done"),
        ({"status": "idle"}, "idle"),
        ({}, "active"),
    ],
)
def test_state_of_is_one_of_six(fields: dict[str, Any], state: str) -> None:
    """The same states as in the grid."""
    assert state_of(agent(**fields)) == state


@pytest.mark.parametrize(
    ("agent_id", "short"),
    [
        ("claude-4a9c1ab2-7d41-4e0b-9c1e-7a2b5d000001", "claude-4a9c1ab2"),
        ("codex-019eec26-793d-7ed6-f1cf-d99216df6486", "codex-16df6486"),
        ("claude-1", "claude-1"),
    ],
)
def test_short_agent_id_keeps_what_differs(agent_id: str, short: str) -> None:
    """UUIDs of version 7 begin with the time, so their end is kept."""
    assert short_agent_id(agent_id) == short


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"title": "Checkout", "project": "shop"}, "Checkout"),
        ({"project": "shop", "branch": "main"}, "shop · main"),
        ({"project": "shop"}, "shop"),
        ({"project": "shop", "parent_agent_id": "p"}, "claude-1"),
        ({}, "claude-1"),
    ],
)
def test_agent_name_is_title_or_place(fields: dict[str, Any], name: str) -> None:
    """A subagent works where its parent does, so its project does not name it."""
    assert agent_name(agent(**fields)) == name


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"attention": True, "detail_since": NOW - timedelta(minutes=4)}, "waits 4 min"),
        (
            {"status": "idle", "unseen": True, "detail": "waiting_input", "detail_since": NOW},
            "asks you 0 s",
        ),
        ({"status": "idle", "detail": "error", "since": NOW - timedelta(hours=3)}, "failed 3 h"),
        ({"since": NOW - timedelta(days=2)}, "active 2 d"),
        ({"detail": "overloaded", "detail_since": NOW - timedelta(seconds=9)}, "blocked 9 s"),
        ({}, "active 1 min"),
    ],
)
def test_state_text_says_how_long(fields: dict[str, Any], text: str) -> None:
    """The time is that of the state, else of the last activity."""
    assert state_text(agent(**fields), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (7_300, "2 h"), (1e6, "11 d")]
)
def test_span_text_has_one_unit(seconds: float, text: str) -> None:
    """The largest unit is enough for a glance."""
    assert span_text(seconds) == text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("waits for permission to use Bash", "permission: Bash"),
        ("waits for approval of its plan", "approval of its plan"),
        ("Bash is running and 2 more", "runs Bash +2"),
        ("Bash is running", "runs Bash"),
        ("used Read", "used Read"),
        (None, ""),
    ],
)
def test_reason_text_is_short(reason: str | None, text: str) -> None:
    """The word that matters comes first."""
    assert reason_text(agent(reason=reason)) == text


def test_sort_agents_by_attention() -> None:
    """The longest wait is first; agents at work are in order of their last activity."""
    agents = [
        agent("offline", "offline"),
        agent("quiet", last_activity=NOW - timedelta(minutes=5)),
        agent("busy"),
        agent("waits 1", attention=True, detail_since=NOW - timedelta(minutes=1)),
        agent("waits 9", attention=True, detail_since=NOW - timedelta(minutes=9)),
        agent("blocked", detail="overloaded"),
    ]
    ids = [each.agent_id for each in sort_agents(agents)]
    assert ids == ["waits 9", "waits 1", "blocked", "busy", "quiet", "offline"]


@pytest.mark.parametrize(
    ("key", "descending", "ids"),
    [
        ("cost", True, ["b", "a", "c"]),
        ("cost", False, ["a", "b", "c"]),
        ("context", False, ["b", "a", "c"]),
        ("project", False, ["b", "a", "c"]),
        ("agent", False, ["c", "b", "a"]),
        ("tokens", True, ["c", "a", "b"]),
    ],
)
def test_sort_agents_puts_missing_values_last(key: str, descending: bool, ids: list[str]) -> None:
    """In both directions."""
    agents = [
        agent("a", cost_usd=1.0, project="x", context_tokens=9, context_window=10, title="Z"),
        agent("b", cost_usd=2.0, project="W", context_tokens=1, context_window=10),
        agent("c", total_cost_tokens=5),
    ]
    assert [each.agent_id for each in sort_agents(agents, key, descending)] == ids


def test_matches_text_needs_every_word() -> None:
    """Words are searched in names, labels and the state, in upper or lower case."""
    found = agent(title="Retry payments", project="Shop", attention=True)
    assert matches_text(found, "")
    assert matches_text(found, "shop RETRY")
    assert matches_text(found, "waits")
    assert not matches_text(found, "shop invoices")


def test_group_of_has_a_value_for_each_agent() -> None:
    """Agents without a value are in the group ""."""
    assert group_of(agent(attention=True), "state") == "waits for you"
    assert group_of(agent(agent_kind="codex"), "kind") == "codex"
    assert group_of(agent(), "project") == ""


def test_count_states_is_in_order_of_urgency() -> None:
    """Only states that occur are counted."""
    agents = [agent("a", "idle"), agent("b", attention=True), agent("c", "idle")]
    assert list(count_states(agents).items()) == [("waiting", 1), ("idle", 2)]


@pytest.mark.parametrize(
    ("tokens", "window", "share"),
    [(50, 100, 0.5), (150, 100, 1.0), (None, 100, None), (5, 0, None)],
)
def test_context_share_is_at_most_one(tokens: int | None, window: int, share: float | None) -> None:
    """It is unknown without tokens or window."""
    assert context_share(agent(context_tokens=tokens, context_window=window)) == share


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1_210, "1.21k"), (999_900, "1M"), (1_214_000, "1.21M"), (3e9, "3G")],
)
def test_compact_count_has_three_digits(count: float, text: str) -> None:
    """A count fits into a column."""
    assert compact_count(count) == text


def test_visible_text_replaces_what_a_terminal_obeys() -> None:
    """Escape sequences, line breaks and direction marks are replaced; long text is cut."""
    assert (
        visible_text("a\x1b]0;x\x07b\r\nc\u202ed\u2066")
        == "a\ufffd]0;x\ufffdb\ufffd\ufffdc\ufffdd\ufffd"
    )
    assert visible_text("é日🙂") == "é日🙂"
    assert visible_text("abcdef", 3) == "abc…"


@pytest.mark.parametrize(
    ("usd", "unpriced", "expected"),
    [(1.854, 0, "$1.85"), (None, 0, ""), (float("nan"), 5, "?"), (1.0, 5, "$1.00 + ?")],
)
def test_dollar_text_shows_what_is_unknown(usd: float, unpriced: int, expected: str) -> None:
    """Tokens without a price are not free."""
    assert dollar_text(usd, unpriced) == expected


def test_agent_cells_are_the_same_for_all_tables() -> None:
    """What is unknown is empty; a subagent has an arrow, tokens without a price a question mark."""
    full = agent(
        "codex-019eec26-793d-7ed6-f1cf-d99216df6486",
        parent_agent_id="codex-1",
        title="Checkout",
        project="shop",
        branch="main",
        reason="waits for permission to use Bash",
        attention=True,
        context_tokens=50,
        context_window=200,
        total_cost_tokens=1_500,
        unpriced_tokens=500,
    )
    assert tuple(agent_cells(full, NOW)) == AGENT_CELLS
    assert "|".join(agent_cells(full, NOW).values()) == (
        "waits 1 min|↳ codex-16df6486|Checkout|shop|main|permission: Bash|25%|1.5k|?"
    )
    assert "|".join(agent_cells(agent(), NOW).values()) == "active 1 min|claude-1|||||||"
