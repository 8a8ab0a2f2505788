"""Titles, worktrees, pull requests and branches in Claude Code's session files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.claude_lines import CALL, CHILD, CHILD_ID, call, completion, record, result, user
from tests.helpers.session_lines import (
    CONTENT,
    MAIN,
    PAYLOADS,
    SESSION,
    START,
    at,
    check,
    kinds,
    line,
    lines_of,
    read,
)
from tests.helpers.strategies import hostile_values

GENERATED = {"title_generated": True}


def fact(kind: str, **fields: Any) -> bytes:
    """Return a line with a fact, which has no timestamp."""
    return line({"type": kind, **fields, "sessionId": SESSION})


def ai(title: Any) -> bytes:
    """Return the line of a generated title."""
    return fact("ai-title", aiTitle=title)


def infos(lines: list[bytes]) -> list[tuple[str | None, dict[str, Any] | None]]:
    """Return title and extra of each event with facts."""
    events = read(ClaudeSession(), lines)
    check(events)
    return [(event.title, event.extra) for event in events if event.event_type == "session_info"]


def test_facts_generated_title_is_reported_when_it_changes() -> None:
    """The title is written again and again; it has the time of the line before it."""
    lines = [user("hi", 1), ai("Fix the cart"), ai("Fix the cart"), user("more", 2), ai("Fix all")]
    events = read(ClaudeSession(), lines)
    titles = [event for event in events if event.event_type == "session_info"]
    assert [event.title for event in titles] == ["Fix the cart", "Fix all"]
    assert [event.extra for event in titles] == [GENERATED, GENERATED]
    assert [(e.timestamp - START).total_seconds() for e in titles if e.timestamp] == [1, 2]
    assert {event.agent_id for event in titles} == {MAIN}


def test_facts_read_again_have_the_same_ids() -> None:
    """Reading a file twice changes nothing, and a title that returns is a change."""
    lines = [user("a", 1), ai("One"), user("b", 2), ai("Two"), user("c", 3), ai("One")]
    events = read(ClaudeSession(), lines)
    assert read(ClaudeSession(), lines) == events
    ids = [event.event_id for event in events if event.event_type == "session_info"]
    assert len(set(ids)) == 3


def test_facts_before_the_first_line_are_reported_with_it() -> None:
    """A resumed session starts with its title, before there is a time."""
    assert infos([ai("Fix the cart"), user("hi", 1)]) == [("Fix the cart", GENERATED)]
    events = read(ClaudeSession(), [ai("Fix the cart"), user("hi", 1)])
    assert kinds(events) == ["session_start", "session_info", "prompt"]


def test_facts_title_of_a_person_wins() -> None:
    """A generated title does not replace the person's; without it, it returns."""
    own = fact("custom-title", customTitle="cart")
    assert infos([user("hi", 1), ai("Fix"), own, ai("Fix"), ai("Other")]) == [
        ("Fix", GENERATED),
        ("cart", None),
    ]
    removed = fact("custom-title", customTitle=None)
    assert infos([user("hi", 1), ai("Fix"), own, removed])[-1] == ("Fix", GENERATED)
    assert infos([user("hi", 1), fact("agent-name", agentName="cart")]) == [("cart", None)]


def test_facts_name_of_a_plan_is_generated() -> None:
    """The name of an approved plan is written as generated title and as name of the agent."""
    name = fact("agent-name", agentName="create-calc")
    assert infos([user("hi", 1), ai("create-calc"), name]) == [("create-calc", GENERATED)]


def test_facts_name_of_a_worktree_is_no_title() -> None:
    """Claude Code sets the name of a worktree as the custom title when it enters it."""
    enter = fact("worktree-state", worktreeSession={"worktreeName": "cart", "worktreePath": "/w"})
    title = fact("custom-title", customTitle="cart")
    events = read(ClaudeSession(), [user("hi", 1), ai("Fix"), enter, title])
    found = [(e.title, e.worktree) for e in events if e.event_type == "session_info"]
    assert found == [("Fix", None), (None, "cart")]


def test_facts_worktree_is_cleared() -> None:
    """A session that leaves its worktree has none."""
    enter = fact("worktree-state", worktreeSession={"worktreePath": "/home/user/wt/cart"})
    leave = fact("worktree-state", worktreeSession=None)
    events = read(ClaudeSession(), [user("hi", 1), enter, leave])
    found = [(e.worktree, e.extra) for e in events if e.event_type == "session_info"]
    assert found == [("cart", None), (None, {"cleared": ["worktree"]})]


def test_facts_pull_request_has_its_own_time() -> None:
    """The last link counts: its URL, else its number."""
    url = "https://github.com/acme/shop/pull/12"
    links = [
        fact("pr-link", prNumber=12, prUrl=url, prRepository="acme/shop", timestamp=at(5)),
        fact("pr-link", prNumber=12, prUrl=url, prRepository="acme/shop", timestamp=at(6)),
        fact("pr-link", prNumber=13, timestamp=at(7)),
        fact("pr-link", prNumber="x", timestamp=at(8)),
    ]
    events = read(ClaudeSession(), [user("hi", 1), *links])
    found = [e for e in events if e.event_type == "session_info"]
    assert [event.pr for event in found] == [url, "#13"]
    assert [(e.timestamp - START).total_seconds() for e in found if e.timestamp] == [5, 7]


def test_facts_of_another_session_are_its_own() -> None:
    """Lines of two sessions in one file, as after a reset, do not mix."""
    other = "5c3e9a10-2222-4333-8444-555555555555"
    lines = [
        user("hi", 1),
        ai("One"),
        user("hi", 2, sessionId=other),
        line({"type": "ai-title", "aiTitle": "Two", "sessionId": other}),
        user("more", 3),
    ]
    events = read(ClaudeSession(), lines)
    found = [(e.agent_id, e.title) for e in events if e.event_type == "session_info"]
    assert found == [(MAIN, "One"), ("claude-5c3e9a10", "Two")]


def test_facts_branch_and_folder_are_on_every_event_of_a_line() -> None:
    """A detached HEAD is no branch."""
    output = {"content": [{"type": "tool_result", "tool_use_id": CALL, "content": CONTENT}]}
    lines = [
        user("hi", 1, gitBranch="main"),
        call(2),
        record("user", 3, message=output, gitBranch="feat/cart", cwd="/home/user/shop/api"),
        user("more", 4, gitBranch="HEAD", cwd="/" + "x" * 300),
    ]
    events = read(ClaudeSession(), lines)
    by_type: dict[str, Event] = {event.event_type: event for event in events}
    start, end = by_type["session_start"], by_type["tool_execute"]
    assert (start.branch, start.cwd, start.project) == ("main", "/home/user/shop", "shop")
    assert (end.branch, end.cwd, end.project) == ("feat/cart", "/home/user/shop/api", "shop")
    assert (by_type["prompt"].branch, by_type["prompt"].cwd) == (None, None)


def test_facts_of_recordings() -> None:
    """The recorded sessions have branches."""
    events = read(ClaudeSession(), lines_of(PAYLOADS / "claude/background-agents.jsonl"))
    assert {event.branch for event in events} == {"feat/checkout"}


def test_subagent_title_is_its_description() -> None:
    """The parent's call names the subagent; the prompt is never kept."""
    block = {
        "type": "tool_use",
        "id": "toolu_9",
        "name": "Agent",
        "input": {"description": "Count the tests", "prompt": CONTENT, "subagent_type": "Explore"},
    }
    output = {"status": "completed", "agentId": CHILD_ID, "agentType": "Explore"}
    lines = [completion("m", 5, 1, content=[block]), result(9, "toolu_9", output=output)]
    events = read(ClaudeSession(), lines)
    check(events)
    (title,) = [event for event in events if event.event_type == "session_info"]
    assert (title.agent_id, title.parent_agent_id) == (CHILD, MAIN)
    assert (title.title, title.extra) == ("Count the tests", GENERATED)
    block["input"] = {"name": "tester", "description": "Count the tests"}
    lines[0] = completion("m", 5, 1, content=[block])
    assert infos(lines) == [("tester", GENERATED)]
    block["input"] = {"prompt": CONTENT}
    lines[0] = completion("m", 5, 1, content=[block])
    assert infos(lines) == [("Explore", {"title_default": True})]


def test_subagent_title_in_the_background_needs_its_own_file() -> None:
    """Without a file it has no further events, and an event would make it seem idle."""
    output = {"status": "async_launched", "agentId": CHILD_ID, "description": "Count the tests"}
    lines = [call(1, "Agent"), result(2, output=output)]
    assert infos(lines) == [("Count the tests", GENERATED)]
    alone = read(ClaudeSession(has_own_file=lambda _: False), lines)
    assert "session_info" not in kinds(alone)


def test_subagent_title_is_in_the_file_beside_its_session(tmp_path: Path) -> None:
    """A running subagent has its title from its first line on."""
    path = tmp_path / f"agent-{CHILD_ID}.jsonl"
    first = user("go", 1, isSidechain=True, agentId=CHILD_ID)

    def titles() -> list[tuple[str | None, dict[str, Any] | None]]:
        events = read(AGENTS["claude"].session_reader(str(path)), [first])
        check(events)
        found = [event for event in events if event.event_type == "session_info"]
        assert {event.agent_id for event in found} <= {CHILD}
        return [(event.title, event.extra) for event in found]

    facts = tmp_path / f"agent-{CHILD_ID}.meta.json"
    assert titles() == []
    facts.write_text('{"agentType":"Explore","description":"Count the tests","toolUseId":"t"}')
    assert titles() == [("Count the tests", GENERATED)]
    facts.write_text('{"agentType":"Explore"}')
    assert titles() == [("Explore", {"title_default": True})]
    for text in ("", "[]", "{", '{"description":7}'):
        facts.write_text(text)
        assert titles() == []


_HOSTILE = hostile_values("HEAD", " \n", "https://")
_NAMES = "aiTitle customTitle agentName worktreeSession prUrl prNumber gitBranch cwd sessionId"


@settings(max_examples=300)
@given(
    kinds_of_lines=st.lists(
        st.sampled_from("ai-title custom-title agent-name worktree-state pr-link user".split()),
        max_size=6,
    ),
    values=st.lists(_HOSTILE, min_size=9, max_size=9),
)
def test_facts_accept_hostile_values(kinds_of_lines: list[str], values: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    fields = dict(zip(_NAMES.split(), values, strict=True))
    fields["worktreeSession"] = fields["worktreeSession"] or {
        "worktreeName": fields["aiTitle"],
        "worktreePath": fields["cwd"],
    }
    reader = ClaudeSession(SESSION)
    for number, kind in enumerate(["user", *kinds_of_lines]):
        own = {**fields, "message": {"content": CONTENT}, "lastPrompt": CONTENT}
        try:
            raw = record(kind, number, **own)
        except UnicodeEncodeError:
            return
        with suppress(InvalidEvent):
            check(reader.feed(raw))
    check(reader.finish())


@pytest.mark.parametrize("name", ["ai-title", "pr-link"])
def test_facts_in_long_lines_are_not_searched(name: str) -> None:
    """Content that quotes a line with facts reports nothing."""
    quoted = json.dumps({"type": name, "aiTitle": CONTENT, "prUrl": CONTENT, "prNumber": 7})
    events = read(ClaudeSession(), [user("hi", 1), user(quoted, 2), result(3, output=quoted)])
    check(events)
    assert "session_info" not in kinds(events)
