"""The static forms of the grid and the bounds of its arguments."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.validation import parse_time
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.widget import agent_grid, snapshot

AT = parse_time("2025-01-14T14:50:30Z")
CONNECTED = ConnectionState("connected", None, "connected", "http://127.0.0.1:8000")


def agent(name: str, status: str = "active", **fields) -> AgentPresence:
    return AgentPresence(name, PresenceStatus(status), **{"last_activity": AT, **fields})


def plain(html: str) -> str:
    """Return HTML as a viewer leaves it that drops every style."""
    return re.sub(r' style="[^"]*"', "", html)


def listed(*agents: AgentPresence) -> dict[str, AgentPresence]:
    return {one.agent_id: one for one in agents}


def test_the_summary_counts_agents_by_status():
    """One line: how many, doing what, where."""
    agents = listed(agent("a"), agent("b", "idle"), agent("c"))
    line = snapshot.summary(agents, CONNECTED)
    assert line == "AgentGrid(3 agents: 2 active, 1 idle; http://127.0.0.1:8000)"
    assert snapshot.summary(listed(agent("a")), CONNECTED).startswith("AgentGrid(1 agent: ")
    assert snapshot.summary({}, ConnectionState()) == "AgentGrid(0 agents; connecting)"


def test_the_summary_says_who_waits():
    """A person must not miss it, in a terminal either."""
    line = snapshot.summary(listed(agent("a", attention=True), agent("b")), CONNECTED)
    assert "2 active, 1 waiting for you" in line


def test_the_table_holds_every_agent_as_text():
    """Unknown cost is empty and not zero; waiting is said in words; all without any style."""
    agents = listed(
        agent("a", total_cost_tokens=1234567, cost_usd=0.5, attention=True, total_errors=3),
        agent("b"),
    )
    html = plain(snapshot.table(agents, CONNECTED, AT))
    assert "<td>3</td><td>1,234,567</td><td>0.5000</td>" in html
    assert "<td>0</td><td>0</td><td></td>" in html
    assert "<td>● active, waits for you</td>" in html
    assert "at 2025-01-14T14:50:30Z" in html
    assert "style" not in html


def test_who_waits_is_first_in_the_table():
    """Then active, idle, offline; of those the latest activity first, then by name."""
    earlier = parse_time("2025-01-14T14:00:00Z")
    agents = listed(
        agent("gone", "offline"),
        agent("still", "idle"),
        agent("busy-b"),
        agent("busy-a"),
        agent("busy-before", last_activity=earlier),
        agent("asks", attention=True, last_activity=earlier),
    )
    html = snapshot.table(agents, CONNECTED, AT)
    names = re.findall(r'<th scope="row"[^>]*>([^<]*)<', html)
    assert names == ["asks", "busy-a", "busy-b", "busy-before", "still", "gone"]


def test_the_table_has_no_style_but_in_attributes():
    """Style sheets and scripts are what notebook viewers drop."""
    html = snapshot.table(listed(agent("a")), CONNECTED, AT)
    assert re.findall(r"<(\w+)", html)[0] == "table"
    assert not set(re.findall(r"<(\w+)", html)) & {"style", "script", "link", "img", "svg"}
    assert not re.search(r"\son\w+=|url\(|javascript:", html)
    assert 'style="' in html


def test_the_table_escapes_what_agents_call_themselves():
    """No name, tool or reason becomes markup."""
    evil = "<img src=x onerror=alert(1)>&\"'"
    one = agent(evil, reason=evil, last_tool_name=evil, session_id=evil, current_feature_id=evil)
    one = replace(one, model=evil)
    html = snapshot.table(listed(one), ConnectionState("closed", None, evil), AT)
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#x27;") == 7


def test_a_long_table_is_cut_and_says_so():
    """A notebook file does not grow with ten thousand agents."""
    agents = listed(*(agent(f"agent-{i}") for i in range(250)))
    html = snapshot.table(agents, CONNECTED, AT)
    assert html.count('<th scope="row"') == 200
    assert "50 agents are not shown" in html


def test_the_table_says_why_there_is_nothing():
    """Without a server it shows what was tried and what to type."""
    html = snapshot.table({}, ConnectionState("connecting", None, "tried\nhtmlgraph-nb serve"), AT)
    assert "tried<br>htmlgraph-nb serve" in html


@pytest.mark.parametrize("rate", [0, -1, 61, float("nan"), "fast", None])
def test_a_rate_out_of_bounds_is_refused(rate):
    """Before anything is started, and with the bounds in the text."""
    with pytest.raises(ConfigError, match="above 0, up to 60"):
        agent_grid.AgentGrid("http://127.0.0.1:1", max_rate=rate)


@pytest.mark.parametrize("height", [0, -5, True, 1.5])
def test_a_height_that_is_no_length_is_refused(height):
    """Before anything is started, and with both forms in the text."""
    with pytest.raises(ConfigError, match='pixels as 400, or CSS as "60vh"'):
        agent_grid.AgentGrid("http://127.0.0.1:1", height=height)


def test_the_front_end_is_text_and_shared_by_all_grids():
    """A path in its place would keep every closed widget alive."""
    assert type(agent_grid.AgentGrid._esm) is str
    assert "export default" in agent_grid.AgentGrid._esm
    assert type(agent_grid.AgentGrid._css) is str
