"""Turns of a session file start and end once."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.claude.session import SUBAGENT_QUIET_S, TURN_QUIET_S, ClaudeSession
from tests.helpers.claude_lines import (
    CALL,
    CHILD,
    CHILD_ID,
    call,
    completion,
    final,
    only,
    record,
    user,
)
from tests.helpers.session_lines import (
    MAIN,
    SESSION,
    START,
    kinds,
    read,
)


@pytest.mark.parametrize(
    "text", ["[Request interrupted by user]", "[Request interrupted by user for tool use]"]
)
def test_turn_ends_with_an_interrupt(text: str) -> None:
    """Both marks of an interrupt end the turn, and no stop follows."""
    events = read(ClaudeSession(), [user("go"), completion("m", 4, 1), user(text, 2)])
    assert kinds(events) == ["session_start", "prompt", "completion", "interrupt"]


def test_turn_ends_once() -> None:
    """A turn ends at its duration line, else where the next one starts, else with the file."""
    end = completion("m1", 4, 1, stop_reason="end_turn")
    lines = [
        user("a", 0),
        end,
        record("system", 2, subtype="stop_hook_summary"),
        record("system", 3, subtype="turn_duration", durationMs=2900),
        user("b", 4),
        completion("m2", 4, 5, stop_reason="end_turn"),
        user("c", 6),
        completion("m3", 4, 7, stop_reason="end_turn"),
    ]
    stops = [event for event in read(ClaudeSession(), lines) if event.event_type == "stop"]
    seconds = [(event.timestamp - START).total_seconds() for event in stops if event.timestamp]
    assert seconds == [3, 5, 7]
    assert [event.duration_ms for event in stops] == [2900, None, None]
    assert len({event.event_id for event in stops}) == 3


@pytest.mark.parametrize(
    ("reason", "ends"),
    [
        *((reason, True) for reason in ("end_turn", "stop_sequence", "max_tokens", "refusal")),
        ("model_context_window_exceeded", True),
        ("tool_use", False),
        ("pause_turn", False),
        (None, False),
    ],
)
def test_turn_ends_by_the_stop_reason(reason: str | None, ends: bool) -> None:
    """The stop reasons of Anthropic's API: two of them let the turn go on."""
    events = read(ClaudeSession(), [user("a", 0), completion("m1", 4, 1, stop_reason=reason)])
    assert ("stop" in kinds(events)) is ends


def test_turn_continues_after_a_stop_hook() -> None:
    """A turn goes on if a hook makes the agent continue after its last completion."""
    lines = [
        completion("m1", 4, 1, stop_reason="end_turn"),
        user("Stop hook feedback", 2, isMeta=True),
        completion("m2", 4, 3),
    ]
    assert "stop" not in kinds(read(ClaudeSession(), lines))


def test_turn_ends_after_a_short_quiet() -> None:
    """A completion with a stop reason and the end of its turn are certain after a short quiet."""
    reader = ClaudeSession()
    assert kinds(reader.feed(user("x", 0))) == ["session_start", "prompt"]
    assert reader.feed(final(1)) == []
    assert reader.on_quiet(TURN_QUIET_S / 2) == []
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion", "stop"]
    assert reader.on_quiet(TURN_QUIET_S) == reader.finish() == []
    # Another block of the same completion is no new work.
    assert reader.feed(final(1.1)) == []
    assert set(kinds(reader.on_quiet(TURN_QUIET_S))) <= {"completion"}


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("Which one do you want?", {"question": True}),
        ("**Which one?**\n", {"question": True}),
        ("Done. Was it hard? No.", None),
    ],
)
def test_turn_end_flags_a_question(text: str, extra: dict[str, bool] | None) -> None:
    """The end of a turn is flagged if its last text is a question; the text is dropped."""
    assert only(read(ClaudeSession(), [user("x", 0), final(1, text)]), "stop").extra == extra


def test_turn_without_a_prompt_starts_with_activity() -> None:
    """A model that continues by itself, after a stop hook or a command, is active at once."""
    reader = ClaudeSession()
    assert kinds(reader.feed(final(1))) == ["session_start", "activity"]
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion", "stop"]
    assert kinds(reader.feed(final(3, key="msg_more"))) == ["activity"]


@pytest.mark.parametrize(
    "text", ["Stop hook feedback:\n[x]: not done", "Output token limit hit. Resume directly."]
)
def test_turn_goes_on_at_once_when_claude_code_continues_it(text: str) -> None:
    """The model is asked again; its response can take long."""
    reader = ClaudeSession()
    reader.feed(user("x", 0))
    reader.feed(final(1))
    assert kinds(reader.feed(user(text, 1.05, isMeta=True))) == ["completion", "activity"]
    assert reader.on_quiet(TURN_QUIET_S) == []
    reader.feed(final(9, key="msg_2"))
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion", "stop"]
    assert kinds(reader.feed(user(text, 9.5, isMeta=True))) == ["activity"], "it was over"


def test_turn_starts_with_the_prompt_of_a_command() -> None:
    """The prompt that a command expands to is a prompt; its output is none."""
    lines = [
        user("<command-name>/goal</command-name>", 0),
        user("<local-command-stdout>x</local-command-stdout>", 1),
        user("Do this.", 2, isMeta=True),
    ]
    assert kinds(read(ClaudeSession(), lines)) == ["session_start", "prompt"]
    assert kinds(read(ClaudeSession(), [user("Do this.", 2, isMeta=True)])) == ["session_start"]


def test_turn_end_of_a_subagent_ends_the_subagent() -> None:
    """The end of a subagent's turn is its end, for its parent and for itself."""
    sidechain = {"isSidechain": True, "agentId": CHILD_ID}
    lines = [
        user("x", 0, **sidechain),
        completion("msg_1", 5, 1, stop_reason="end_turn", **sidechain),
    ]
    events = read(ClaudeSession(), lines)
    assert kinds(events) == [
        *("subagent_start", "prompt", "completion", "subagent_stop", "session_end"),
    ]
    assert [event.agent_id for event in events[-2:]] == [MAIN, CHILD]


def test_turn_end_of_a_subagent_waits_for_its_parent() -> None:
    """The parent's file reports the end first, together with the parent's next work."""
    sidechain = {"isSidechain": True, "agentId": CHILD_ID}
    reader = ClaudeSession()
    reader.feed(user("x", 0, **sidechain))
    reader.feed(completion("msg_1", 5, 1, stop_reason="end_turn", **sidechain))
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion"]
    assert reader.on_quiet(TURN_QUIET_S) == []
    assert kinds(reader.on_quiet(SUBAGENT_QUIET_S)) == ["subagent_stop", "session_end"]


def test_turn_after_the_end_of_a_subagent_is_another_run() -> None:
    """A message resumes it; each run starts and ends with ids of its own."""
    sidechain = {"isSidechain": True, "agentId": CHILD_ID}
    end = {"stop_reason": "end_turn", **sidechain}
    lines = [
        *(user("x", 0, **sidechain), completion("msg_1", 5, 1, **end)),
        *(user("y", 60, **sidechain), completion("msg_2", 5, 61, **sidechain)),
        *(completion("msg_3", 5, 62, **end), completion("msg_4", 5, 90, **end)),
    ]
    reader = ClaudeSession()
    events = []
    for each in lines:
        events += [*reader.feed(each), *reader.on_quiet(SUBAGENT_QUIET_S)]
    runs = [event for event in events if event.event_type.startswith("subagent")]
    assert kinds(runs) == ["subagent_start", "subagent_stop"] * 3
    assert {event.agent_id for event in runs} == {MAIN}
    assert {(event.extra or {})["child_agent_id"] for event in runs} == {CHILD}
    assert len({event.event_id for event in events}) == len(events)
    assert runs[0].event_id == f"{SESSION}:{CHILD}:SubagentStart", "as its parent's file reports it"


def test_turn_ignores_subagent_lines_without_an_id() -> None:
    """Lines of a subagent without its id, in its parent's file, do not end the parent's turn."""
    lines = [
        *(user("x", 0), call(1, "Task")),
        user("y", 2, isSidechain=True),
        completion("msg_1", 5, 3, stop_reason="end_turn", isSidechain=True),
    ]
    types = kinds(read(ClaudeSession(), lines))
    assert types.count("prompt") == 1
    assert "stop" not in types


def test_turn_ends_with_an_interrupt_beside_a_result() -> None:
    """An interrupt is recognized in any block of a line."""
    block = {"type": "tool_result", "tool_use_id": CALL, "content": "x", "is_error": True}
    mark = {"type": "text", "text": "[Request interrupted by user for tool use]"}
    lines = [user("x", 0), call(1), record("user", 2, message={"content": [block, mark]})]
    assert kinds(read(ClaudeSession(), lines))[-1] == "interrupt"


def test_turn_of_an_older_version_ends_with_its_duration() -> None:
    """Without a stop reason, the line with the duration of the turn ends it."""
    end = record("system", 5, subtype="turn_duration", durationMs=5000)
    lines = [user("x", 0), completion("msg_1", 5, 1, stop_reason=None), end]
    assert only(read(ClaudeSession(), lines), "stop").duration_ms == 5000
