"""Subagents and background tasks of a session file start and end."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from tests.helpers.claude_lines import (
    CALL,
    CHILD,
    CHILD_ID,
    call,
    completion,
    final,
    notice,
    only,
    record,
    result,
    user,
)
from tests.helpers.session_lines import (
    MAIN,
    PAYLOADS,
    START,
    kinds,
    lines_of,
    once,
    read,
)


def test_tasks_background_agents_start_and_end_once() -> None:
    """Each subagent that ran in the background starts and ends once, as a child."""
    events = once(read(ClaudeSession(), lines_of(PAYLOADS / "claude/background-agents.jsonl")))
    starts = [event for event in events if event.event_type == "subagent_start"]
    stops = [event for event in events if event.event_type == "subagent_stop"]
    children = {(event.extra or {})["child_agent_id"] for event in starts}
    assert len(starts) == len(children) == 12
    ended = {(event.extra or {})["child_agent_id"] for event in stops}
    assert ended == children
    assert len(stops) == 12
    own_ends = [event for event in events if event.event_type == "session_end"]
    assert {event.agent_id for event in own_ends} == ended
    assert {event.parent_agent_id for event in own_ends} == {"claude-8a525d27"}


def test_tasks_foreground_agent_starts_and_ends_with_its_call() -> None:
    """The result of an Agent call contains the child's start and end."""
    output = {"status": "completed", "agentId": CHILD_ID, "agentType": "Explore"}
    events = read(ClaudeSession(), [call(0, "Agent"), result(9, output=output)])
    start, stop = only(events, "subagent_start"), only(events, "subagent_stop")
    extra = {"child_agent_id": CHILD, "agent_type": "Explore"}
    assert (start.agent_id, start.extra, stop.extra) == (MAIN, extra, extra)
    assert start.timestamp is not None
    assert (start.timestamp - START).total_seconds() == 0
    end = only(events, "session_end")
    assert (end.agent_id, end.parent_agent_id) == (CHILD, MAIN)


def test_tasks_notice_of_an_unknown_task_ends_no_agent() -> None:
    """A notice extra an unknown task ends no subagent."""
    notice = f"<task-id>{CHILD_ID}</task-id><status>completed</status>"
    events = read(ClaudeSession(), [record("queue-operation", 1, content=notice)])
    assert kinds(events) == ["session_start"]


def launched(seconds: float, key: str = CALL) -> bytes:
    """Return the result of a call that starts a subagent in the background."""
    return result(seconds, key, output={"status": "async_launched", "agentId": CHILD_ID})


def resumed(seconds: float, key: str) -> bytes:
    """Return the result of a message that resumes a subagent."""
    return result(seconds, key, output={"success": True, "resumedAgentId": CHILD_ID})


def test_tasks_resumed_agent_starts_and_ends_again() -> None:
    """The ids of its second run are those that its own file gives."""
    lines = [
        *(call(0, "Agent"), launched(1), notice(9, CHILD_ID)),
        *(call(20, "SendMessage", "toolu_2"), resumed(21, "toolu_2"), notice(30, CHILD_ID)),
    ]
    events = read(ClaudeSession(), lines)
    runs = [event for event in events if event.event_type.startswith("subagent")]
    assert kinds(runs) == ["subagent_start", "subagent_stop"] * 2
    assert len({event.event_id for event in events}) == len(events)
    sidechain = {"isSidechain": True, "agentId": CHILD_ID}
    ends = [completion(f"msg_{n}", 5, n, stop_reason="end_turn", **sidechain) for n in (8, 29)]
    own = read(
        ClaudeSession(), [user("x", 1, **sidechain), ends[0], user("y", 21, **sidechain), ends[1]]
    )
    own_runs = [event for event in own if event.event_type.startswith("subagent")]
    assert [event.event_id for event in own_runs] == [event.event_id for event in runs]


def test_tasks_repeated_result_starts_no_other_run() -> None:
    """A line that is in the file twice reports the same run."""
    output = {"status": "completed", "agentId": CHILD_ID}
    lines = [call(0, "Agent"), *[result(9, output=output)] * 2]
    events = once(read(ClaudeSession(), lines))
    assert kinds(events).count("subagent_start") == kinds(events).count("subagent_stop") == 1


def test_tasks_message_to_a_running_agent_starts_nothing() -> None:
    """It is delivered to the run that goes on."""
    lines = [
        call(0, "Agent"),
        launched(1),
        call(2, "SendMessage", "toolu_2"),
        resumed(3, "toolu_2"),
    ]
    assert kinds(read(ClaudeSession(), lines)).count("subagent_start") == 1


@pytest.mark.parametrize(
    "output", [{"status": "async_launched", "agentId": CHILD_ID}, {"backgroundTaskId": CHILD_ID}]
)
def test_tasks_end_can_be_reported_before_the_start(output: dict[str, str]) -> None:
    """The notice of a short task can come before the result that contains its id."""
    lines = [
        user("x", 0),
        call(1, "Agent"),
        notice(1.5, CHILD_ID),
        result(2, output=output),
        final(3),
    ]
    kind = "subagent" if "agentId" in output else "task"
    events = [event for event in read(ClaudeSession(), lines) if event.event_type.startswith(kind)]
    assert kinds(events) == [f"{kind}_start", f"{kind}_stop"]
    assert [e.timestamp and (e.timestamp - START).total_seconds() for e in events][1] == 1.5


def test_tasks_agent_ends_when_a_tool_stops_it() -> None:
    """TaskStop names a subagent like any other task; the notice repeats the end."""
    stop = {"message": "Successfully stopped task", "task_id": CHILD_ID, "task_type": "local_agent"}
    lines = [
        *(call(0, "Agent"), launched(1)),
        *(call(2, "TaskStop", "toolu_2"), result(3, "toolu_2", output=stop)),
        notice(4, CHILD_ID),
    ]
    events = read(ClaudeSession(), lines)
    assert [e.agent_id for e in events if e.event_type in ("subagent_stop", "session_end")] == [
        MAIN,
        CHILD,
    ]


@pytest.mark.parametrize(
    ("started", "task"),
    [
        ({"backgroundTaskId": "b1zlcp11f"}, "b1zlcp11f"),
        ({"status": "async_launched", "taskId": "w8mi56013"}, "w8mi56013"),
        ({"taskId": "m1", "persistent": False}, "m1"),
    ],
)
@pytest.mark.parametrize("queued", [True, False])
def test_tasks_background_task_ends_with_its_notice(
    started: dict[str, str], task: str, queued: bool
) -> None:
    """A background task runs from the result with its id to the notice of its end."""
    message = f"<task-notification><task-id>{task}</task-id><status>failed</status>"
    ends = [notice(9, task)] if queued else []
    lines = [call(0, "Monitor"), result(1, output=started), final(2), *ends, user(message, 9.5)]
    events = read(ClaudeSession(), lines)
    start, stop = only(events, "task_start"), only(events, "task_stop")
    assert start.extra == stop.extra == {"task_id": task}
    # The notice wakes the agent, so it is not idle before its response.
    assert kinds(events)[kinds(events).index("task_stop") - 1] == "activity"


@pytest.mark.parametrize(
    ("tool", "output", "ends"),
    [
        ("TaskOutput", {"task": {"task_id": "b1", "status": "completed"}}, True),
        ("TaskOutput", {"task": {"task_id": "b1", "status": "running"}}, False),
        ("BashOutput", {"shellId": "b1", "status": "killed"}, True),
        ("KillShell", {"shell_id": "b1"}, True),
        ("TaskOutput", {"task": {"task_id": "b2", "status": "completed"}}, False),
    ],
)
def test_tasks_background_task_ends_with_the_result_of_a_tool(
    tool: str, output: dict[str, Any], ends: bool
) -> None:
    """The result of a tool that polls or stops a background task can report its end."""
    other = "toolu_other"
    lines = [
        *(call(0), result(1, output={"backgroundTaskId": "b1"})),
        *(call(2, tool, other), result(3, other, output=output)),
    ]
    assert ("task_stop" in kinds(read(ClaudeSession(), lines))) is ends


def test_tasks_of_a_todo_list_are_ignored() -> None:
    """The tasks of a to-do list are no background tasks."""
    output = {"success": True, "taskId": "1", "statusChange": {"to": "completed"}}
    assert "task_start" not in kinds(read(ClaudeSession(), [call(0), result(1, output=output)]))
