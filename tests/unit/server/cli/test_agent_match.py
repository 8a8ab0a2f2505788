"""matching_agent: which agent a part of an id or title means."""

from __future__ import annotations

import pytest

from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.cli.agent_match import matching_agent

LONG = "codex-019eec26-793d-7ed6-f1cf-d99216df6486"
AGENTS = (
    AgentPresence(LONG, title="Retry payments at checkout"),
    AgentPresence("claude-019eec26-16df6486", project="shop", branch="main"),
    AgentPresence("claude-e6026aaa", title="Checkout of the shop"),
    AgentPresence("claude-bob"),
)


def agents(*ids: str) -> list[AgentPresence]:
    """Return agents with these ids."""
    return [AgentPresence(agent_id) for agent_id in ids]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("claude-bob", "claude-bob"),
        ("CLAUDE-B", "claude-bob"),
        ("E6026", "claude-e6026aaa"),
        ("6026a", "claude-e6026aaa"),
        ("codex-16df6486", LONG),
        ("codex-6486", LONG),
        ("payments", LONG),
        ("shop · main", "claude-019eec26-16df6486"),
    ],
)
def test_matching_agent_finds_the_only_one(text: str, expected: str) -> None:
    """By the id, its start, a part, its short form, the title, or project and branch."""
    assert matching_agent(text, AGENTS) == expected


def test_matching_agent_prefers_the_start_of_an_id() -> None:
    """The id that begins with the text is meant, not one that contains it."""
    assert matching_agent("b", agents("claude-bob", "claude-ab")) == "claude-bob"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("019eec26", r"^agent: '019eec26' fits 2 agents: claude-019eec26-16df6486 \(shop · main\)"),
        ("checkout", r"fits 2 agents: claude-e6026aaa \(Checkout of the shop\), codex-019eec26"),
        ("zzz", r"^unknown agent 'zzz'$"),
        ("codex-zzz", "^unknown agent 'codex-zzz'; similar ids: "),
        ("claude-bib", r"similar ids: claude-bob"),
    ],
)
def test_matching_agent_reports_others(text: str, expected: str) -> None:
    """Several are listed with their titles; for none, similar ids are."""
    with pytest.raises(ConfigError, match=expected):
        matching_agent(text, AGENTS)


def test_matching_agent_lists_a_few_of_many() -> None:
    """The message stays short."""
    with pytest.raises(ConfigError, match=r"a4 and 2 more$"):
        matching_agent("a", agents(*(f"a{n}" for n in range(7))))


def test_matching_agent_shows_no_control_characters() -> None:
    """A title cannot send commands to the terminal."""
    evil = [AgentPresence(f"a{n}", title="\x1b[2J\x07 title") for n in range(2)]
    with pytest.raises(ConfigError) as error:
        matching_agent("a", evil)
    assert "\x1b" not in str(error.value)
