"""Snapshot: a grid as one line of text and as a static table."""

from __future__ import annotations

import re
from dataclasses import replace

from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.validation import parse_time
from htmlgraph_nb.widget.snapshot import html_table, summary_line

AT = parse_time("2025-01-14T14:50:30Z")
CONNECTED = ConnectionState("connected", None, "connected", "http://127.0.0.1:8000")


def agent(name: str, status: str = "active", **fields) -> AgentPresence:
    return AgentPresence(name, PresenceStatus(status), **{"last_activity": AT, **fields})


def plain(html: str) -> str:
    """Return HTML as shown by a viewer that removes every style."""
    return re.sub(r' style="[^"]*"', "", html)


def by_id(*agents: AgentPresence) -> dict[str, AgentPresence]:
    return {presence.agent_id: presence for presence in agents}


def test_summary_line_counts_agents_by_status():
    """One line: how many agents, their statuses, the server."""
    agents = by_id(agent("a"), agent("b", "idle"), agent("c"))
    line = summary_line(agents, CONNECTED)
    assert line == "AgentGrid(3 agents: 2 active, 1 idle; http://127.0.0.1:8000)"
    assert summary_line(by_id(agent("a")), CONNECTED).startswith("AgentGrid(1 agent: ")
    assert summary_line({}, ConnectionState()) == "AgentGrid(0 agents; connecting)"


def test_summary_line_counts_waiting_agents():
    """A person must see it in a terminal, too."""
    line = summary_line(by_id(agent("a", attention=True), agent("b")), CONNECTED)
    assert "2 active, 1 waiting for you" in line


def test_html_table_contains_every_agent_as_text():
    """An unknown cost is empty, not zero; waiting is text; all without any style."""
    agents = by_id(
        agent("a", total_cost_tokens=1234567, cost_usd=0.5, attention=True, total_errors=3),
        agent("b"),
    )
    html = plain(html_table(agents, CONNECTED, AT))
    assert "<td>● active, waits for you</td><td>0.50</td>" in html
    assert "<td>3</td><td>1,234,567</td>" in html
    assert "<td>● active</td><td></td>" in html
    assert "<td>● active, waits for you</td>" in html
    assert "at 2025-01-14 14:50:30 UTC" in html
    assert "style" not in html


def test_html_table_marks_costs_that_are_not_all():
    """As in the grid: "+" beside the known part, "?" without one."""
    agents = by_id(
        agent("a", cost_usd=0.5, unpriced_tokens=9), agent("b", unpriced_tokens=9), agent("c")
    )
    html = plain(html_table(agents, CONNECTED, AT))
    assert all(f"<td>{cost}</td>" in html for cost in ("0.50+", "?", ""))


def test_html_table_lists_waiting_agents_first():
    """Then active, idle, offline; among those the latest activity first, then by name."""
    earlier = parse_time("2025-01-14T14:00:00Z")
    agents = by_id(
        agent("ended", "offline"),
        agent("resting", "idle"),
        agent("busy-b"),
        agent("busy-a"),
        agent("busy-before", last_activity=earlier),
        agent("waiting", attention=True, last_activity=earlier),
    )
    html = html_table(agents, CONNECTED, AT)
    names = re.findall(r'<th scope="row"[^>]*>([^<]*)<', html)
    assert names == ["waiting", "busy-a", "busy-b", "busy-before", "resting", "ended"]


def test_html_table_has_only_inline_styles():
    """Notebook viewers remove style sheets and scripts."""
    html = html_table(by_id(agent("a")), CONNECTED, AT)
    assert re.findall(r"<(\w+)", html)[0] == "table"
    assert not set(re.findall(r"<(\w+)", html)) & {"style", "script", "link", "img", "svg"}
    assert not re.search(r"\son\w+=|url\(|javascript:", html)
    assert 'style="' in html


def test_html_table_escapes_all_text():
    """No name, tool or reason becomes markup."""
    evil = "<img src=x onerror=alert(1)>&\"'"
    presence = agent(evil, reason=evil, last_tool_name=evil, current_feature_id=evil, project=evil)
    presence = replace(presence, model=evil, title=evil, branch=evil)
    html = html_table(by_id(presence), ConnectionState("closed", None, evil), AT)
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#x27;") == 9


def test_html_table_is_limited_to_200_rows():
    """A notebook file does not grow with ten thousand agents."""
    agents = by_id(*(agent(f"agent-{i}") for i in range(250)))
    html = html_table(agents, CONNECTED, AT)
    assert html.count('<th scope="row"') == 200
    assert "50 agents are not shown" in html


def test_html_table_shows_why_it_is_empty():
    """Without a server it shows what was tried and what to type."""
    html = html_table({}, ConnectionState("connecting", None, "tried\nhtmlgraph-nb serve"), AT)
    assert "tried<br>htmlgraph-nb serve" in html


def test_html_table_omits_columns_without_values():
    """A table of agents without titles and prices has no columns for them, and never sessions."""
    plainly = html_table(by_id(agent("a", session_id="4a9c1ab2")), CONNECTED, AT)
    for name in ("Title", "Cost (USD)", "Branch", "Context", "Model", "4a9c1ab2"):
        assert name not in plainly
    named = agent("b", cost_usd=1.0, project="shop")
    named = replace(named, title="Fix the cart", branch="fix/cart", context_tokens=150_000)
    named = replace(named, context_window=200_000)
    html = plain(html_table(by_id(agent("a"), named), CONNECTED, AT))
    head = re.findall(r'<th scope="col">([^<]*)<', html)
    assert head[:6] == ["Agent", "Status", "Cost (USD)", "Title", "Project", "Branch"]
    assert "<td>Fix the cart</td><td>shop</td><td>fix/cart</td>" in html
    assert "<td>75%</td>" in html


def test_html_table_colours_mean_what_they_mean_in_the_grid():
    """Amber waits, red cannot work; an idle agent is neither."""
    amber, red = "color:#b36b00", "color:#d1453b"
    waiting = html_table(by_id(agent("a", attention=True)), CONNECTED, AT)
    assert amber in waiting
    blocked = html_table(by_id(agent("a", "idle", detail="usage_limited")), CONNECTED, AT)
    assert red in blocked
    idle = html_table(by_id(agent("a", "idle", detail="done")), CONNECTED, AT)
    assert amber not in idle
    assert red not in idle
