"""OpenCodeSession: rows of messages and parts to events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.core.model import Event
from tests.helpers.session_databases import (
    OpenCodeWriter,
    empty_database,
    events_of,
    recorded_database,
)


class Scene:
    """A database and what it says of its only session."""

    def __init__(self, folder: Path) -> None:
        self.path = empty_database("opencode", folder / "opencode.db")
        self.writer = OpenCodeWriter(self.path)
        self.session = self.writer.session()

    def events(self) -> list[Event]:
        """Return the events of the session."""
        return events_of("opencode", self.path)[self.session]

    def kinds(self) -> list[str]:
        """Return the types of the events, those of the start left out."""
        return [event.event_type for event in self.events()][1:]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.writer.close()


def test_session_of_the_real_program(tmp_path: Path) -> None:
    """What version 1.18.33 wrote: tools, a refusal, a subagent, an abort, errors, a fork."""
    events = events_of("opencode", recorded_database("opencode", tmp_path / "opencode.db"))
    main, child, errors = (
        next(found for found in events.values() if any(kind(event) for event in found))
        for kind in (
            lambda event: event.tool_name == "todowrite",
            lambda event: event.event_type == "subagent_start",
            lambda event: event.event_type == "error",
        )
    )
    kinds = Counter(event.event_type for event in main)
    assert kinds["prompt"] == 10
    assert kinds["stop"] == 9
    assert kinds["interrupt"] == 1
    assert kinds["answered"] == 1
    assert [event.tool_name for event in main if event.event_type == "tool_error"] == ["nosuchtool"]
    completions = [event for event in main if event.event_type == "completion"]
    assert {event.total_tokens for event in completions} == {107}
    assert {event.cost_usd for event in completions} == {7.8e-05}
    assert {event.context_tokens for event in completions} == {100}
    assert {event.title for event in main if event.event_type == "session_info"} == {"A title"}
    assert child[-1].event_type in ("stop", "session_info")
    assert {event.title for event in child if event.title} == {"Read things"}
    assert {event.session_id for event in child} == {main[0].session_id}
    failed = next(event for event in errors if event.event_type == "error")
    assert failed.extra == {"cannot_work": "signed_out"}


def test_session_of_a_fork_repeats_nothing(tmp_path: Path) -> None:
    """A fork repeats all messages under new ids; they count once."""
    events = events_of("opencode", recorded_database("opencode", tmp_path / "opencode.db"))
    (fork,) = (found for found in events.values() if any("fork" in (e.title or "") for e in found))
    assert [event.event_type for event in fork] == ["session_start", "session_info"]


def test_session_keeps_no_content(scene: Scene) -> None:
    """Prompts, answers, tool inputs and results never become part of an event."""
    writer = scene.writer
    writer.prompt(scene.session)
    message = writer.message(scene.session, "assistant")
    writer.end_call(writer.call(scene.session, message, input={"command": "secret"}))
    writer.complete(message, error={"name": "APIError", "data": {"message": "secret"}})
    events = scene.events()
    assert [event.event_type for event in events][-1] == "error"
    assert "secret" not in repr(events)


def test_session_turn_ends_with_the_last_request(scene: Scene) -> None:
    """A request that ran tools is followed by another one."""
    writer = scene.writer
    writer.prompt(scene.session)
    first = writer.message(scene.session, "assistant")
    part = writer.call(scene.session, first)
    assert scene.kinds() == ["prompt", "tool_start"]
    writer.tick()
    writer.end_call(part)
    writer.complete(first, "tool-calls")
    assert scene.kinds() == ["prompt", "tool_start", "tool_execute", "completion"]
    writer.tick()
    writer.answer(scene.session)
    assert scene.kinds()[-2:] == ["completion", "stop"]


def test_session_turn_goes_on_after_calls_of_a_finished_answer(scene: Scene) -> None:
    """Some providers end an answer with tool calls as if it were the last."""
    writer = scene.writer
    writer.prompt(scene.session)
    message = writer.message(scene.session, "assistant")
    writer.end_call(writer.call(scene.session, message))
    writer.complete(message, "stop")
    assert "stop" not in scene.kinds()


@pytest.mark.parametrize(
    ("state", "tool", "expected"),
    [
        ({"metadata": {"exit": 0}}, "bash", ("tool_execute", "ok", "bash")),
        ({"metadata": {"exit": 3}}, "bash", ("tool_error", "error", "bash")),
        ({"status": "error", "error": "no"}, "edit", ("tool_error", "error", "edit")),
        ({"input": {"tool": "find"}}, "invalid", ("tool_error", "error", "find")),
    ],
)
def test_session_call_fails_by_its_exit_status(
    scene: Scene, state: dict[str, Any], tool: str, expected: tuple[str, str, str]
) -> None:
    """A shell command that fails is "completed", and so is a call of an unknown tool."""
    writer = scene.writer
    writer.prompt(scene.session)
    message = writer.message(scene.session, "assistant")
    writer.end_call(writer.call(scene.session, message, tool), **state)
    event = scene.events()[-1]
    assert (event.event_type, event.status, event.tool_name) == expected


def test_session_pending_call_has_not_started(scene: Scene) -> None:
    """The model is still writing the input."""
    message = scene.writer.message(scene.session, "assistant")
    part = scene.writer.part(
        scene.session, message, "tool", tool="bash", callID="c", state={"status": "pending"}
    )
    assert scene.kinds() == []
    scene.writer.end_call(part)
    assert scene.kinds() == ["tool_start", "tool_execute"]


def test_session_refused_call_ends_the_turn(scene: Scene) -> None:
    """OpenCode sends no further request after a refusal."""
    writer = scene.writer
    writer.prompt(scene.session)
    message = writer.message(scene.session, "assistant")
    error = "The user rejected permission to use this specific tool call."
    writer.end_call(writer.call(scene.session, message), "error", error=error)
    writer.complete(message, "tool-calls")
    assert scene.kinds() == ["prompt", "tool_start", "answered", "completion", "stop"]


def test_session_question_tool_asks(scene: Scene) -> None:
    """The tool waits for the user while it runs."""
    message = scene.writer.message(scene.session, "assistant")
    scene.writer.call(scene.session, message, "question")
    assert scene.events()[-1].extra == {"asks": "input"}


def test_session_completion_counts_once_while_its_row_changes(scene: Scene) -> None:
    """Tokens are in the message, which is written several times."""
    writer = scene.writer
    writer.prompt(scene.session)
    message = writer.message(scene.session, "assistant")
    counts = {"input": 5, "output": 3, "reasoning": 2, "total": 10, "cache": {"read": 0}}
    writer.update("message", message, tokens=counts)
    writer.update("message", message, time={"created": writer.at, "completed": writer.tick()})
    (done,) = (event for event in scene.events() if event.event_type == "completion")
    assert (done.input_tokens, done.output_tokens, done.total_tokens) == (5, 5, 10)
    assert done.cost_usd is None


def test_session_output_can_include_reasoning(scene: Scene) -> None:
    """The total says whether it does."""
    counts = {"input": 5, "output": 5, "reasoning": 2, "total": 10, "cache": {"read": 0}}
    message = scene.writer.message(scene.session, "assistant")
    time = {"created": scene.writer.at, "completed": scene.writer.at}
    scene.writer.update("message", message, tokens=counts, time=time)
    (done,) = (event for event in scene.events() if event.event_type == "completion")
    assert done.output_tokens == 5


def test_session_crashed_request_counts_with_the_next_prompt(scene: Scene) -> None:
    """A killed program completes no message."""
    message = scene.writer.message(scene.session, "assistant")
    counts = {"input": 5, "output": 3, "reasoning": 0, "cache": {"read": 0}}
    scene.writer.update("message", message, tokens=counts)
    assert scene.kinds() == ["completion"]


@pytest.mark.parametrize(("auto", "expected"), [(True, "activity"), (False, "idle")])
def test_session_compaction_by_hand_waits_at_the_prompt(
    scene: Scene, auto: bool, expected: str
) -> None:
    """An automatic one goes on with the turn."""
    writer = scene.writer
    request = writer.message(scene.session, "user")
    writer.part(scene.session, request, "compaction", auto=auto)
    message = writer.message(scene.session, "assistant", summary=True, parentID=request)
    writer.complete(message)
    last = scene.events()[-1]
    assert (last.event_type, last.extra) == (expected, {"compacted": True})


def test_session_subagent_ends_with_its_call(scene: Scene) -> None:
    """A call of the tool task names the session of the subagent."""
    writer = scene.writer
    writer.prompt(scene.session)
    message = writer.message(scene.session, "assistant")
    child = writer.session(parent=scene.session, title="Look (@explore subagent)")
    part = writer.call(scene.session, message, "task", metadata={"sessionId": child})
    writer.end_call(part, metadata={"sessionId": child})
    found = events_of("opencode", scene.path)
    (start,) = (event for event in found[child] if event.event_type == "subagent_start")
    name = f"opencode-{child}"
    assert start.agent_id == f"opencode-{scene.session}"
    assert start.extra == {"child_agent_id": name, "agent_type": "explore"}
    ends = [e for e in found[scene.session] if e.event_type in ("subagent_stop", "session_end")]
    assert [(event.event_type, event.agent_id) for event in ends] == [
        ("subagent_stop", start.agent_id),
        ("session_end", name),
    ]


def test_session_archived_is_over(scene: Scene) -> None:
    """The user removed it from the list."""
    text = "UPDATE session SET time_archived = ? WHERE id = ?"
    scene.writer.db.execute(text, (scene.writer.tick(), scene.session))
    assert scene.kinds() == ["session_end"]


def test_session_ignores_rows_of_another_form(scene: Scene) -> None:
    """Malformed JSON and values of other types."""
    writer = scene.writer
    message = writer.message(scene.session, "assistant")
    part = writer.call(scene.session, message)
    writer.db.execute("UPDATE part SET data = '{' WHERE id = ?", (part,))
    writer.update("message", message, tokens={"input": "many"}, time={"completed": "now"})
    writer.part(scene.session, message, "tool", tool=1, state=[], callID={})
    writer.message(scene.session, "system")
    writer.db.execute("UPDATE message SET data = '[]' WHERE id = ?", (message,))
    assert scene.kinds() == []
