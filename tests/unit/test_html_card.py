"""Objects as small HTML tables in a notebook."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from htmlgraph_nb import SDK, AgentPresence, PresenceManager, PresenceStatus
from htmlgraph_nb.core.validation import parse_time
from htmlgraph_nb.html_card import html_card, manager_card

AT = parse_time("2025-01-14T14:50:30Z")
AGENT = AgentPresence(
    "claude-1",
    PresenceStatus.ACTIVE,
    last_activity=AT,
    reason="asks for Bash",
    attention=True,
    detail_since=AT - timedelta(minutes=5),
    title="Repair <the> importer",
    branch="main",
    user="ann",
    host="build-3",
    context_tokens=50_000,
    context_window=200_000,
    total_cost_tokens=1_234_567,
    cost_usd=0.5,
)


def shown(html: str) -> dict[str, str]:
    """Return the labels and values of a card."""
    found = re.findall(r"<th[^>]*>(.*?)</th><td[^>]*>(.*?)</td>", html)
    assert html.startswith('<table class="htmlgraph-card"')
    return dict(found)


def test_html_card_escapes_all_text_and_omits_empty_facts() -> None:
    """Text of an agent is never markup."""
    html = html_card("<b>&", [("<i>", "<script>x</script>"), ("empty", "")])
    assert shown(html) == {"&lt;i&gt;": "&lt;script&gt;x&lt;/script&gt;"}
    assert ">&lt;b&gt;&amp;</caption>" in html


def test_agent_presence_card_shows_what_is_known() -> None:
    """Title, status with its reason, context, tokens and cost; nothing that is unknown."""
    html = AGENT._repr_html_()
    card = shown(html)
    assert "Repair &lt;the&gt; importer (claude-1)</caption>" in html
    assert card["Status"] == "● active: asks for Bash"
    assert card["Since"] == "2025-01-14 14:45:30 UTC"
    assert card["Context"] == "25% (50,000 of 200,000 tokens)"
    assert (card["Tokens"], card["Cost"], card["Host"]) == ("1,234,567", "$0.50", "ann@build-3")
    assert "Model" not in card


@pytest.mark.parametrize(
    ("cost_usd", "unpriced", "text"),
    [
        (0.5, 1_200, "$0.50 + 1,200 tokens without a price"),
        (None, 1_200, "1,200 tokens without a price"),
        (0.5, 0, "$0.50"),
    ],
)
def test_agent_presence_card_says_what_has_no_price(
    cost_usd: float | None, unpriced: int, text: str
) -> None:
    """A sum of dollars never hides that some tokens are not in it."""
    agent = replace(AGENT, cost_usd=cost_usd, unpriced_tokens=unpriced)
    assert shown(agent._repr_html_())["Cost"] == text


@pytest.mark.parametrize("status", PresenceStatus)
def test_agent_presence_card_of_new_agent(status: PresenceStatus) -> None:
    """Without any field but the id the card is short."""
    card = shown(AgentPresence("a", status)._repr_html_())
    assert list(card) == ["Status", "Calls", "Errors", "Tokens", "Last activity"]
    assert card["Status"].endswith(status.value)


def test_agent_presence_card_without_window_shows_tokens() -> None:
    """A share needs the window."""
    card = shown(replace(AGENT, context_window=None)._repr_html_())
    assert card["Context"] == "50,000 tokens"


def test_manager_card_lists_waiting_agents_first_and_a_limited_number() -> None:
    """A notebook stays readable with hundreds of agents."""
    others = [AgentPresence(f"a{n}", last_activity=AT).to_dict() for n in range(30)]
    card = shown(manager_card("/tmp/x.db", [*others, AGENT.to_dict()]))
    assert card["Agents"] == "31: 1 active, 30 offline"
    assert list(card)[2] == "claude-1"
    assert card["…"] == "11 more"


def test_presence_manager_card_works_after_close(tmp_path: Path) -> None:
    """Displaying an object never raises."""
    with PresenceManager(str(tmp_path / "x.db")) as manager:
        assert shown(manager._repr_html_())["Agents"] == "0"
        manager.update_presence("a", "tool_execute")
    card = shown(manager._repr_html_())
    assert card["Agents"] == "1: 1 active"
    assert card["Database"].endswith("x.db")
    assert card["a"].startswith("● active")


def test_sdk_card_shows_server_without_secrets() -> None:
    """A URL with a token is refused when events are sent; the card says so and hides it."""
    card = shown(SDK("me", model="m<1>")._repr_html_())
    assert card["Model"] == "m&lt;1&gt;"
    assert card["Server"].startswith("the one that AgentGrid() finds")
    card = shown(SDK("me", url="http://127.0.0.1:9?token=secret")._repr_html_())
    assert "must not contain a secret" in card["Server"]
    assert "token=secret" not in card["Server"]
    assert shown(SDK("me", url="http://127.0.0.1:9/")._repr_html_())["Server"] == (
        "http://127.0.0.1:9"
    )
