"""The status rules, each with the trap that it must avoid."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.reducer import REPORT_TYPES
from htmlgraph_nb.core.roster import Roster, timer_event
from htmlgraph_nb.core.status_rules import decide
from tests.helpers.states import fold
from tests.helpers.strategies import at

ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE
Step = tuple[float, str, dict[str, Any]]


def step(seconds: float, kind: str, **fields: Any) -> Step:
    """Return one event of the agent, ``seconds`` after the start of the test."""
    return seconds, kind, fields


def notification(seconds: float, kind: str) -> Step:
    """Return a notification as reported by the hooks of Claude Code."""
    return step(seconds, "notification", extra={"notification_type": kind})


def after(*steps: Step, now: float = 10_000) -> AgentPresence:
    """Return the presence after these events, all arriving at ``now`` in the order given."""
    roster = Roster()
    for seq, (seconds, kind, fields) in enumerate(steps, 1):
        event = Event(agent_id="a", event_type=kind, timestamp=at(seconds), **fields)
        roster.apply(event, seq, at(now))
    roster.commit()
    return roster.agents["a"].presence


BASH = {"tool_name": "Bash", "tool_use_id": "t1"}

RULES: dict[str, tuple[tuple[Step, ...], PresenceStatus, str, str]] = {
    "first event": ((step(1, "activity"),), ACTIVE, "unknown", "sent activity"),
    "session start": (
        (step(1, "session_start"),),
        IDLE,
        "done",
        "the session began, no prompt yet",
    ),
    "prompt": ((step(1, "session_start"), step(2, "prompt")), ACTIVE, "working", "got a prompt"),
    "prompt then compaction": (
        (step(1, "prompt"), step(2, "session_start")),
        ACTIVE,
        "working",
        "got a prompt",
    ),
    "tool runs": ((step(1, "tool_start", **BASH),), ACTIVE, "tool", "Bash is running"),
    "tools run": (
        (step(1, "tool_start", **BASH), step(2, "tool_start", tool_name="Edit")),
        ACTIVE,
        "tool",
        "Edit is running and 1 more",
    ),
    "tool denied by a hook of another program": (
        (
            step(1, "tool_start", source="claude-hook", **BASH),
            step(9, "tool_start", source="claude-hook", tool_name="Edit", tool_use_id="t2"),
            step(12, "tool_execute", source="claude-hook", tool_name="Edit", tool_use_id="t2"),
        ),
        ACTIVE,
        "working",
        "used Edit",
    ),
    "tools run at the same time": (
        (
            step(1, "tool_start", source="claude-hook", **BASH),
            step(4, "tool_start", source="claude-hook", tool_name="Edit", tool_use_id="t2"),
            step(12, "tool_execute", source="claude-hook", tool_name="Edit", tool_use_id="t2"),
        ),
        ACTIVE,
        "tool",
        "Bash is running",
    ),
    "tool used": ((step(1, "tool_execute", **BASH),), ACTIVE, "working", "used Bash"),
    "nameless tool used": ((step(1, "tool_result"),), ACTIVE, "working", "used a tool"),
    "own type with a tool": ((step(1, "mine", **BASH),), ACTIVE, "working", "used Bash"),
    "completion": ((step(1, "completion"),), ACTIVE, "working", "the model answered"),
    "turn over": ((step(1, "prompt"), step(2, "stop")), IDLE, "done", "the turn is over"),
    "interrupt": (
        (step(1, "prompt"), step(2, "interrupt")),
        IDLE,
        "done",
        "interrupted by the user",
    ),
    "error": ((step(1, "prompt"), step(2, "error")), IDLE, "error", "the turn ended with an error"),
    "says idle": ((step(1, "prompt"), step(2, "idle")), IDLE, "done", "reported itself idle"),
    "at its prompt": (
        (step(1, "prompt"), notification(61, "idle_prompt")),
        IDLE,
        "done",
        "waits at its prompt",
    ),
    "works again": ((step(1, "stop"), step(2, "prompt")), ACTIVE, "working", "got a prompt"),
    "turn end closes tools": (
        (step(1, "tool_start", **BASH), step(2, "interrupt")),
        IDLE,
        "done",
        "interrupted by the user",
    ),
    "session end": (
        (step(1, "prompt"), step(2, "session_end")),
        OFFLINE,
        "done",
        "the session ended",
    ),
    "process exit": (
        (step(1, "tool_start", **BASH), step(2, "process_exit")),
        OFFLINE,
        "done",
        "its process exited",
    ),
    "marked": ((step(1, "prompt"), step(2, "offline")), OFFLINE, "done", "marked offline"),
    "sign after the mark": (
        (step(1, "stop"), step(2, "offline"), step(3, "stop")),
        IDLE,
        "done",
        "the turn is over",
    ),
    "session begins again": (
        (step(1, "prompt"), step(2, "session_end"), step(3, "session_start")),
        IDLE,
        "done",
        "the session began, no prompt yet",
    ),
    "works after the end": (
        (step(1, "session_end"), step(2, "tool_execute", **BASH)),
        ACTIVE,
        "working",
        "used Bash",
    ),
    "stop overtaken by the end": (
        (step(1, "prompt"), step(2, "session_end"), step(2.01, "stop")),
        OFFLINE,
        "done",
        "the session ended",
    ),
    "subagent ends after the end": (
        (step(1, "subagent_start"), step(2, "session_end"), step(3, "subagent_stop")),
        OFFLINE,
        "done",
        "the session ended",
    ),
    "subagent": (
        (step(1, "subagent_start", tool_use_id="c1"), step(2, "stop")),
        ACTIVE,
        "background",
        "1 subagent at work",
    ),
    "subagents": (
        (
            step(1, "subagent_start", tool_use_id="c1"),
            step(2, "subagent_start", tool_use_id="c2"),
            step(3, "subagent_start", tool_use_id="c3"),
            step(4, "subagent_stop", tool_use_id="c2"),
        ),
        ACTIVE,
        "background",
        "2 subagents at work",
    ),
    "subagent done": (
        (step(1, "subagent_start"), step(2, "stop"), step(3, "subagent_stop")),
        IDLE,
        "done",
        "the turn is over",
    ),
    "interrupt ends subagents": (
        (step(1, "subagent_start"), step(2, "interrupt")),
        IDLE,
        "done",
        "interrupted by the user",
    ),
    "background tasks": (
        (step(1, "stop", extra={"background_tasks": 2}),),
        ACTIVE,
        "background",
        "2 background tasks",
    ),
    "background tasks done": (
        (step(1, "stop", extra={"background_tasks": 1}), step(2, "stop")),
        IDLE,
        "done",
        "the turn is over",
    ),
    "background task": (
        (step(1, "task_start", extra={"task_id": "b1"}), step(2, "stop")),
        ACTIVE,
        "background",
        "1 background task",
    ),
    "background task, reported twice": (
        (
            step(1, "task_start", extra={"task_id": "b1"}),
            step(2, "stop", extra={"background_tasks": 1}),
        ),
        ACTIVE,
        "background",
        "1 background task",
    ),
    "background task done": (
        (
            step(1, "task_start", extra={"task_id": "b1"}),
            step(2, "stop"),
            step(3, "task_stop", extra={"task_id": "b1"}),
        ),
        IDLE,
        "done",
        "the turn is over",
    ),
    "background task and a subagent": (
        (
            step(1, "task_start", extra={"task_id": "b1"}),
            step(2, "subagent_start", tool_use_id="c1"),
        ),
        ACTIVE,
        "background",
        "1 subagent at work",
    ),
    "denied call": (
        (step(1, "tool_start", **BASH), step(2, "answered", **BASH)),
        ACTIVE,
        "working",
        "got an answer",
    ),
    "ended with a question": (
        (step(1, "prompt"), step(2, "stop", extra={"question": True})),
        IDLE,
        "waiting_input",
        "the turn ended with a question",
    ),
    "question answered": (
        (step(1, "stop", extra={"question": True}), step(2, "prompt")),
        ACTIVE,
        "working",
        "got a prompt",
    ),
    "prompt clears background tasks": (
        (step(1, "stop", extra={"background_tasks": 1}), step(2, "prompt")),
        ACTIVE,
        "working",
        "got a prompt",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_decide_by_rule(name: str) -> None:
    """The evidence leads to the status, detail and reason of its rule, without attention."""
    steps, status, detail, reason = RULES[name]
    presence = after(*steps)
    assert (presence.status, presence.detail, presence.reason) == (status, detail, reason)
    assert not presence.attention


@pytest.mark.parametrize("name", RULES)
def test_decide_in_any_order(name: str) -> None:
    """The same evidence in reverse order of arrival leads to the same decision."""
    steps, status, detail, reason = RULES[name]
    presence = after(*steps[::-1])
    assert (presence.status, presence.detail, presence.reason) == (status, detail, reason)


PLAN = {"tool_name": "ExitPlanMode", "tool_use_id": "t2", "extra": {"asks": "plan"}}
FORM = {"tool_name": "AskUserQuestion", "tool_use_id": "t3", "extra": {"asks": "input"}}
ASK = step(2, "permission_request", tool_name="Bash")
START = step(1, "tool_start", **BASH)

QUESTIONS: dict[str, tuple[tuple[Step, ...], bool]] = {
    "asked": ((START, ASK), True),
    "answered by its tool": ((START, ASK, step(3, "tool_execute", **BASH)), False),
    "denied": ((START, ASK, step(3, "tool_error", **BASH)), False),
    "answered": ((START, ASK, step(3, "answered")), False),
    "answered by the next completion": ((START, ASK, step(3, "completion")), False),
    "answered by a prompt": ((START, ASK, step(3, "prompt")), False),
    "another call ends": (
        (START, ASK, step(3, "tool_execute", tool_name="Read")),
        True,
    ),
    "turn over": ((START, ASK, step(3, "stop")), False),
    "interrupted": ((START, ASK, step(3, "interrupt")), False),
    "session over": ((START, ASK, step(3, "session_end")), False),
    "another notification": ((START, ASK, notification(3, "auth_success")), True),
    "reported twice": ((START, ASK, notification(8, "permission_prompt")), True),
    "reported twice, answered once": (
        (START, ASK, notification(8, "permission_prompt"), step(9, "tool_execute", **BASH)),
        False,
    ),
    "two questions, one answered": (
        (
            ASK,
            step(3, "permission_request", tool_name="Edit"),
            step(4, "tool_execute", tool_name="Bash"),
        ),
        True,
    ),
    "asks for input": ((step(1, "prompt"), notification(2, "agent_needs_input")), True),
    "a form": ((step(1, "prompt"), notification(2, "elicitation_dialog")), True),
    "a form, filled": (
        (step(1, "prompt"), notification(2, "elicitation_dialog"), step(3, "answered")),
        False,
    ),
    "input after the end of the turn": (
        (step(1, "prompt"), step(2, "stop"), notification(3, "agent_needs_input")),
        False,
    ),
    "permission asked after the end of the turn": ((step(1, "stop"), ASK), True),
    "a call that asks": ((step(1, "tool_start", **FORM),), True),
    "a call that asks, with another one": ((step(1, "tool_start", **FORM), START), True),
    "a call that asks, answered": (
        (step(1, "tool_start", **FORM), step(2, "tool_execute", **FORM)),
        False,
    ),
    "a plan": ((step(1, "tool_start", **PLAN),), True),
    "a plan, asked for twice": (
        (step(1, "tool_start", **PLAN), step(2, "permission_request", **PLAN)),
        True,
    ),
    "a plan, approved": (
        (
            *(step(1, "tool_start", **PLAN), step(2, "permission_request", **PLAN)),
            step(9, "tool_execute", **PLAN),
        ),
        False,
    ),
    "a plan, rejected": ((step(1, "tool_start", **PLAN), step(2, "answered", **PLAN)), False),
    "a plan, interrupted": ((step(1, "tool_start", **PLAN), step(2, "interrupt")), False),
    "a plan after the end of the turn": (
        (step(1, "stop"), step(2, "permission_request", extra={"asks": "plan"})),
        True,
    ),
    "a plan after the end of the turn, approved": (
        (step(1, "stop"), step(2, "permission_request", extra={"asks": "plan"}), step(3, "prompt")),
        False,
    ),
    "reported after the end of the session": (
        (step(1, "prompt"), step(2, "session_end"), notification(3, "permission_prompt")),
        False,
    ),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", QUESTIONS)
def test_question_keeps_attention_until_answered(name: str, backwards: bool) -> None:
    """A question to a person keeps attention until evidence shows that it is closed."""
    steps, attention = QUESTIONS[name]
    presence = after(*(steps[::-1] if backwards else steps))
    assert presence.attention is attention
    assert (presence.detail in ("waiting_permission", "waiting_input")) is attention


@pytest.mark.parametrize(
    ("steps", "detail", "reason"),
    [
        ((ASK,), "waiting_permission", "waits for permission to use Bash"),
        ((notification(2, "permission_prompt"),), "waiting_permission", "waits for permission"),
        ((notification(2, "agent_needs_input"),), "waiting_input", "waits for an answer"),
        ((step(1, "tool_start", **FORM),), "waiting_input", "waits for an answer"),
        ((step(1, "tool_start", **PLAN),), "waiting_permission", "waits for approval of its plan"),
    ],
)
def test_waiting_agent_is_active(steps: tuple[Step, ...], detail: str, reason: str) -> None:
    """An agent that waits for a person is active, and the reason names the question."""
    presence = after(*steps)
    assert (presence.status, presence.detail, presence.reason) == (ACTIVE, detail, reason)


@pytest.mark.parametrize("kinds", [("Bash", "Edit"), ("Edit", "Bash")])
def test_reason_names_the_oldest_question(kinds: tuple[str, str]) -> None:
    """Of several open questions the reason names the oldest."""
    asked = [step(i, "permission_request", tool_name=tool) for i, tool in enumerate(kinds)]
    assert after(*asked).reason == f"waits for permission to use {kinds[0]}"
    assert after(*asked[::-1]).reason == f"waits for permission to use {kinds[0]}"


def test_attention_ends_with_the_turn() -> None:
    """A question that arrives after the end of its turn does not set attention again."""
    presence = after(step(1, "prompt"), step(5, "stop"), step(3, "permission_request"))
    assert (presence.status, presence.attention) == (IDLE, False)


def test_late_start_of_a_finished_call_stays_closed() -> None:
    """A tool_start that arrives after its tool_execute does not reopen the call."""
    presence = after(step(2, "tool_execute", **BASH), START)
    assert (presence.status, presence.detail) == (ACTIVE, "working")


def test_open_call_prevents_timers() -> None:
    """An open call counts as work for hours, although there is no event."""
    roster = Roster()
    roster.apply(Event(agent_id="a", event_type="tool_start", timestamp=at(0), **BASH), 1, at(0))
    roster.commit()
    for minutes in (10, 60, 239):
        assert roster.timers_due(at(60 * minutes)) == []
    assert roster.agents["a"].presence.status is ACTIVE


def test_inactivity_leads_to_idle_then_offline() -> None:
    """Inactivity is idle with an unknown detail, later offline; any activity ends it."""
    roster = Roster()
    roster.apply(Event(agent_id="a", event_type="completion", timestamp=at(0)), 1, at(0))
    presences = []
    for seq, (kind, seconds) in enumerate((("idle", 300), ("offline", 1800)), 2):
        presence = roster.apply(timer_event("a", kind, at(seconds), seconds), seq, at(seconds))
        assert presence.presence is not None
        presences.append(presence.presence)
    assert [(p.status, p.detail, p.reason, p.since) for p in presences] == [
        (IDLE, "unknown", "no activity for a while", at(300)),
        (OFFLINE, "done", "no activity for too long", at(1800)),
    ]
    later = roster.apply(Event(agent_id="a", event_type="stop", timestamp=at(1900)), 4, at(1900))
    assert later.presence is not None
    assert (later.presence.status, later.presence.reason) == (IDLE, "the turn is over")


@pytest.mark.parametrize("kind", ["idle", "offline"])
def test_late_activity_overrides_a_timer(kind: str) -> None:
    """An event from before a timer expired that arrives after it cancels the timer."""
    roster = Roster()
    roster.apply(Event(agent_id="a", event_type="prompt", timestamp=at(0)), 1, at(0))
    roster.apply(timer_event("a", kind, at(2000), 1800), 2, at(2000))
    spooled = Event(agent_id="a", event_type="tool_start", timestamp=at(1500), **BASH)
    presence = roster.apply(spooled, 3, at(2001)).presence
    assert presence is not None
    assert (presence.status, presence.detail) == (ACTIVE, "tool")
    assert presence.last_activity == at(1500)


def test_since_changes_with_the_status_only() -> None:
    """``since`` changes with the status, not with the detail."""
    steps = [step(1, "prompt"), step(2, "tool_start", **BASH), step(3, "tool_execute", **BASH)]
    assert [after(*steps[:n]).since for n in (1, 2, 3)] == [at(1)] * 3
    assert after(*steps, step(4, "stop")).since == at(4)


def test_cases_cover_every_status_and_detail() -> None:
    """The table above has a case for each status and each detail."""
    details = {detail for _, _, detail, _ in RULES.values()}
    assert details == {
        *("unknown", "working", "tool", "done", "error", "background", "waiting_input")
    }
    assert {status for _, status, _, _ in RULES.values()} == {ACTIVE, IDLE, OFFLINE}


def test_decide_without_evidence() -> None:
    """An agent without evidence is active with an unknown detail."""
    roster = Roster()
    roster.apply(Event(agent_id="a", event_type="notification"), 1, at(0))
    state = roster.get("a")
    assert state is not None
    assert decide(state)[:2] == (ACTIVE, "unknown")


@pytest.mark.parametrize("kind", sorted(REPORT_TYPES - {"host_lost"}))
def test_working_needs_activity(kind: str) -> None:
    """Facts about an agent that has done nothing yet do not show it as active."""
    event = Event(agent_id="a", event_type=kind, timestamp=at(1), session_id="s")
    decision = decide(fold([event]))
    assert (decision.status, decision.reason) == (PresenceStatus.IDLE, "no activity yet")
