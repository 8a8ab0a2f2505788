"""Whose event ids are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.commit.event_scope import Sender, can_be_same, own_id
from htmlgraph_nb.storage.dedup_table import DEDUP_RULES

ID = "toolu_01ABCdefGHIjklMNOpqrSTUv:PostToolUse"


@pytest.mark.parametrize(
    ("new", "stored", "expected"),
    [
        # Agent, session and source.
        (("a", "s", "claude-hook"), ("a", "s", "claude-session"), True),
        (("a", "s", "otlp"), ("renamed", "s", "claude-hook"), True),
        (("b", "fork", "claude-session"), ("a", "s", "claude-session"), True),
        (("b", "fork", "claude-session"), ("a", "s", "claude-hook"), True),
        (("a", "s", "claude-session"), ("a", "s", "claude-agent-sdk"), True),
        (("a", "s", None), ("a", "s", None), True),
        (("a", "s2", "my-source"), ("a", "s", "my-source"), True),
        (("a", "s", None), ("a", "s", "sdk"), True),
        (("a", "s", "claude-hook"), ("evil", "s2", None), False),
        (("a", "s", "claude-hook"), ("a", "s", None), False),
        (("a", "s", "claude-session"), ("a", "s", "my-source"), False),
        (("a", "s", "claude-hook"), ("evil", "s2", "claude-hook"), False),
        (("a", "s", "claude-hook"), ("evil", "s2", "otlp"), False),
        (("a", None, None), ("evil", None, None), False),
        (("a", "s", None), ("evil", "s", None), False),
    ],
)
def test_can_be_same(
    new: tuple[str, str | None, str | None],
    stored: tuple[str, str | None, str | None],
    expected: bool,
) -> None:
    """Sources of one session agree, session files repeat others', all else is the agent's own."""
    event = Event(
        agent_id=new[0], session_id=new[1], source=new[2], event_type="tool_execute", event_id=ID
    )
    assert can_be_same(event, Sender(*stored), DEDUP_RULES) is expected


def test_own_id_is_that_of_the_agent() -> None:
    """It is the same for each delivery, has at most 256 characters, and keeps its kind."""
    event = Event(agent_id="a", event_type="prompt", event_id="x" * 250)
    assert own_id(replace(event, event_id="e-1")) == "a~e-1"
    assert own_id(event) == own_id(event) != own_id(replace(event, agent_id="b"))
    assert len(own_id(replace(event, agent_id="b" * 250))) <= 256
    assert own_id(replace(event, event_id="metric:1")) == "metric:a~1"
