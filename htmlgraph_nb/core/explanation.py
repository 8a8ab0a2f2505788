"""Why an agent has its status: the evidence with its times, and the rules that were asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .agent_state import ANSWER, INTERRUPTED, SEEN, SESSION_STARTED, TASK, TOOL, WORKED, AgentState
from .status_rules import RULES
from .timestamps import to_rfc3339

_SIGNAL_NAMES = {
    SEEN: "last sign of life",
    WORKED: "last sign of work",
    SESSION_STARTED: "session began",
    ANSWER: "last sign that a question was answered",
    TOOL: "last tool ended",
    INTERRUPTED: "last interrupt or error",
}
_END_NAMES = {
    "stop": "turn ended",
    "question": "turn ended with a question",
    "interrupt": "turn was interrupted",
    "error": "turn ended with an error",
    "idle": "reported itself idle",
    "notification": "waited at its prompt",
    "timer": "silent for too long",
    "session_end": "session ended",
    "process_exit": "process exited",
    "offline": "marked offline",
}


class EvidenceItem(NamedTuple):
    """One fact that the rules go by: what, about what (None: nothing more), and when (UTC)."""

    what: str
    about: str | None
    at: datetime


def evidence_of(state: AgentState) -> list[EvidenceItem]:
    """Return what is known of an agent's present session, the newest first."""
    return sorted(_evidence(state), key=lambda one: one.at, reverse=True)


def _evidence(state: AgentState) -> Iterator[EvidenceItem]:
    for sign, at in state.latest.items():
        about = state.last_event[0] if sign == WORKED else None
        yield EvidenceItem(_SIGNAL_NAMES.get(sign, sign), about or None, at)
    for key, (tool, at) in state.open_tools.items():
        asks = state.asking.get(key)
        what = "open tool call" if asks is None else f"open call that asks a person ({asks[0]})"
        yield EvidenceItem(what, tool, at)
    for name, at in state.children.items():
        is_task = name.startswith(TASK)
        what = "open background task" if is_task else "open subagent"
        yield EvidenceItem(what, name.removeprefix(TASK), at)
    for tool, (kind, at) in state.questions.items():
        yield EvidenceItem(f"open question ({kind})", tool or None, at)
    if state.background is not None and state.background[0]:
        n, at = state.background
        yield EvidenceItem("background tasks at the turn's end", str(n), at)
    for end in (state.turn_end, state.ended):
        if end is not None:
            yield EvidenceItem(_END_NAMES.get(end[0], end[0]), None, end[1])


def explain(state: AgentState) -> dict[str, Any]:
    """Return the JSON object of an explanation.

    ``rules`` are those that were asked, in their order; only the last of them fits. ``evidence`` is
    the newest first.
    """
    rules = []
    for name, rule in RULES.items():
        fits = rule(state) is not None
        rules.append({"rule": name, "fits": fits})
        if fits:
            break
    return {
        "rules": rules,
        "evidence": [
            {"what": one.what, "about": one.about, "at": to_rfc3339(one.at)}
            for one in evidence_of(state)
        ],
    }


def format_lines(answer: Mapping[str, Any]) -> list[str]:
    """Return a presence with its explanation as lines for a terminal.

    Args:
        answer: as ``GET /api/presence/{agent_id}?explain=1`` gives it.
    """
    why = answer["explanation"]
    waits = ", waits for a person" if answer["attention"] else ""
    lines = [
        f"{answer['agent_id']} is {answer['status']} ({answer['detail']}{waits}) "
        f"since {answer['since'] or 'unknown'}: {answer['reason'] or 'nothing is known'}",
        "",
        "rules, in their order",
        *(f"  {'yes' if one['fits'] else 'no '}  {one['rule']}" for one in why["rules"]),
        "",
        "evidence, the newest first",
    ]
    width = max((len(one["what"]) for one in why["evidence"]), default=0)
    for one in why["evidence"]:
        lines.append(f"  {one['at']}  {one['what']:<{width}}  {one['about'] or ''}".rstrip())
    return lines
