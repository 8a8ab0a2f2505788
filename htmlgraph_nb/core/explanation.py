"""Why an agent has its status: the evidence with timestamps, and the rules that were evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .agent_state import (
    ANSWERED,
    SEEN,
    SESSION_STARTED,
    TASK_PREFIX,
    TOOL_ENDED,
    TURN_BROKEN,
    WORKED,
    AgentState,
)
from .hosts.host_contact import lost_since
from .status_rules import RULES
from .timestamps import to_rfc3339

_SIGNAL_NAMES = {
    SEEN: "last signal",
    WORKED: "last work",
    SESSION_STARTED: "session began",
    ANSWERED: "last answer to a question",
    TOOL_ENDED: "last tool ended",
    TURN_BROKEN: "last interrupt or error",
}
_END_NAMES = {
    "stop": "turn ended",
    "question": "turn ended with a question",
    "interrupt": "turn was interrupted",
    "error": "turn ended with an error",
    "idle": "reported itself idle",
    "notification": "waited at its prompt",
    "process_idle": "process was at its prompt",
    "shell": "process was at its prompt, with a background shell",
    "timer": "inactive for too long",
    "session_end": "session ended",
    "process_exit": "process exited",
    "offline": "marked offline",
}


class EvidenceItem(NamedTuple):
    """One fact that the rules use.

    Attributes:
        what: the fact.
        about: the tool, child or event type concerned; None: no further detail.
        at: timestamp, UTC.
    """

    what: str
    about: str | None
    at: datetime


def evidence_of(state: AgentState) -> list[EvidenceItem]:
    """Return the evidence of the current session of an agent, newest first."""
    return sorted(_evidence(state), key=lambda entry: entry.at, reverse=True)


def _evidence(state: AgentState) -> Iterator[EvidenceItem]:
    for signal, at in state.latest.items():
        about = state.last_event[0] if signal == WORKED else None
        yield EvidenceItem(_SIGNAL_NAMES.get(signal, signal), about or None, at)
    for key, (tool, at) in state.open_tools.items():
        question = state.waiting_calls.get(key)
        what = (
            "open tool call" if question is None else f"open call with a question ({question[0]})"
        )
        yield EvidenceItem(what, tool, at)
    for name, at in state.children.items():
        is_task = name.startswith(TASK_PREFIX)
        what = "open background task" if is_task else "open subagent"
        yield EvidenceItem(what, name.removeprefix(TASK_PREFIX), at)
    for tool, (kind, at) in state.questions.items():
        yield EvidenceItem(f"open question ({kind})", tool or None, at)
    if state.background is not None and state.background[0]:
        n, at = state.background
        yield EvidenceItem("background tasks at the end of the turn", str(n), at)
    if state.blocked is not None:
        yield EvidenceItem("cannot work", state.blocked[0], state.blocked[1])
    if state.process_at is not None:
        yield EvidenceItem("process is running", None, state.process_at)
    if state.busy_at is not None:
        yield EvidenceItem("process was busy", None, state.busy_at)
    if (lost := lost_since(state.facts_at, state.last_activity)) is not None:
        yield EvidenceItem("no contact with the host", None, lost)
    if state.resumed_at is not None:
        yield EvidenceItem("silence counts from here", None, state.resumed_at)
    for end in (state.turn_end, state.ended):
        if end is not None:
            yield EvidenceItem(_END_NAMES.get(end[0], end[0]), None, end[1])


def explain(state: AgentState) -> dict[str, Any]:
    """Return the explanation of a status as a JSON object.

    ``rules`` lists the evaluated rules in order; only the last one matches. ``evidence`` is sorted
    newest first.
    """
    rules = []
    for name, rule in RULES.items():
        matches = rule(state) is not None
        rules.append({"rule": name, "fits": matches})
        if matches:
            break
    return {
        "rules": rules,
        "evidence": [
            {"what": entry.what, "about": entry.about, "at": to_rfc3339(entry.at)}
            for entry in evidence_of(state)
        ],
    }


def format_lines(
    presence: Mapping[str, Any], time_text: Callable[[str], str] = str, zone: str = "UTC"
) -> list[str]:
    """Return a presence with its explanation as lines for a terminal.

    Args:
        presence: response of ``GET /api/presence/{agent_id}?explain=1``.
        time_text: returns a time, RFC 3339 in UTC, as people read it.
        zone: name of the time zone of ``time_text``.
    """
    explanation = presence["explanation"]
    waiting = ", waiting for a person" if presence["attention"] else ""
    since = time_text(presence["since"]) if presence["since"] else "an unknown time"
    lines = [
        f"{presence['agent_id']} is {presence['status']} ({presence['detail']}{waiting}) "
        f"since {since}: {presence['reason'] or 'no events yet'}",
        "",
        "rules, in order of precedence",
        *(
            f"  {'yes' if entry['fits'] else 'no '}  {entry['rule']}"
            for entry in explanation["rules"]
        ),
        "",
        f"evidence, newest first, times in {zone}",
    ]
    width = max((len(entry["what"]) for entry in explanation["evidence"]), default=0)
    for entry in explanation["evidence"]:
        what = f"{entry['what']:<{width}}  {entry['about'] or ''}"
        lines.append(f"  {time_text(entry['at'])}  {what}".rstrip())
    return lines
