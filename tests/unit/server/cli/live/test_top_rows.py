"""Rows and columns of ``top``, without a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_server.cli.live.top_rows import (
    MAX_TOP_ROWS,
    TopSettings,
    detail_text,
    head_lines,
    top_agents,
    top_columns,
    top_rows,
    total_text,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def agent(agent_id: str, status: str = "active", **fields: Any) -> AgentPresence:
    """Return an agent that was last active a minute ago."""
    fields = {"last_activity": NOW - timedelta(minutes=1), **fields}
    return AgentPresence(agent_id, status=PresenceStatus(status), **fields)


AGENTS = [
    agent("a", project="shop", cost_usd=1.0, total_cost_tokens=1_200),
    agent("b", project="api", attention=True, reason="waits for permission to use Bash"),
    agent("c", "offline", project="shop", unpriced_tokens=500, total_cost_tokens=500),
    agent("d"),
]


def ids(settings: TopSettings) -> list[str]:
    """Return the agents that these settings select."""
    return [each.agent_id for each in top_agents(AGENTS, settings)]


@pytest.mark.parametrize("width", [40, 79, 99, 100, 200])
def test_top_columns_fill_the_width(width: int) -> None:
    """With a gap between columns; narrow terminals have no column for the reason."""
    columns = top_columns(width)
    if width >= 79:
        assert sum(columns.values()) + len(columns) - 1 == width
    assert ("Why" in columns) == (width >= 100)
    assert min(columns.values()) >= 4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TopSettings(), ["b", "a", "d"]),
        (TopSettings(show_offline=True), ["b", "a", "d", "c"]),
        (TopSettings(text="shop"), ["a"]),
        (TopSettings(sort="agent", descending=True), ["a", "d", "b"]),
        (TopSettings(group="project"), ["b", "a", "d"]),
        (TopSettings(group="state", sort="cost"), ["b", "a", "d"]),
    ],
)
def test_top_agents_filters_sorts_and_groups(settings: TopSettings, expected: list[str]) -> None:
    """Groups are together; agents without a group are last."""
    assert ids(settings) == expected


def test_top_rows_have_a_row_for_each_group() -> None:
    """It has the number of its agents, their tokens and cost."""
    settings = TopSettings(group="project", show_offline=True)
    rows = top_rows(top_agents(AGENTS, settings), settings, ["State", "Agent", "Cost"], NOW)
    assert [row.cells for row in rows] == [
        ("▾ api (1 agent, 0 tokens, no price)",),
        ("waits 1 min", "api", ""),
        ("▾ shop (2 agents, 1.7k tokens, $1.00 + 500 tokens without a price)",),
        ("active 1 min", "shop", "$1.00"),
        ("offline 1 min", "shop", "?"),
        ("▾ no project (1 agent, 0 tokens, no price)",),
        ("active 1 min", "d", ""),
    ]


def test_top_rows_are_bounded() -> None:
    """Thousands of agents do not slow the terminal down."""
    many = [agent(f"a{n}") for n in range(MAX_TOP_ROWS + 5)]
    assert len(top_rows(many, TopSettings(), ["Agent"], NOW)) == MAX_TOP_ROWS
    grouped = top_rows(many, TopSettings(group="project"), ["Agent"], NOW)
    assert len(grouped) == 1 + MAX_TOP_ROWS
    assert grouped[0].cells[0].startswith(f"▾ no project ({MAX_TOP_ROWS + 5} agents, ")
    head = head_lines(many, len(many), TopSettings(), ConnectionState("connected"))
    assert "5 not shown" in head[1]


def test_head_lines_show_connection_counts_and_choices() -> None:
    """While the connection is lost, the time of the last state is shown."""
    lost = ConnectionState("reconnecting", NOW, "refused", "http://x")
    settings = TopSettings("cost", True, "model", "shop")
    first, second = head_lines(AGENTS, 1, settings, lost)
    assert first.startswith("reconnecting, as of ")
    assert first.endswith(": 1 waiting for you · 2 active · 1 offline  (http://x)")
    assert second == (
        "1.7k tokens, $1.00 + 500 tokens without a price  "
        "(sort: cost reversed, group: model, filter: shop, 3 not shown)"
    )


def test_top_settings_cycle() -> None:
    """Each key leads through all choices and back; numbers begin with the largest."""
    settings = TopSettings()
    seen = []
    for _ in range(7):
        settings = settings.next_sort()
        seen.append((settings.sort, settings.descending))
    assert seen[-1] == ("attention", False)
    assert ("cost", True) in seen
    groups = []
    for _ in range(6):
        settings = settings.next_group()
        groups.append(settings.group)
    assert groups == ["state", "project", "branch", "model", "kind", ""]


def test_total_text_of_no_agents() -> None:
    """Nothing costs nothing known."""
    assert total_text([]) == "0 tokens, no price"


def test_detail_text_is_one_safe_line() -> None:
    """What agents report is only text."""
    text = detail_text(agent("a", reason="\x1b[2J\nused Read", model="m", cwd="/w"))
    assert text == "\ufffd[2J\ufffdused Read · m · /w · a"
