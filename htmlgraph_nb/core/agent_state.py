"""AgentState: one agent's facts, its evidence and the present verdict, and their stored form.

It owns what is known and what of it is in force; ``evidence.observe`` is the only one to add to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from .model import AgentPresence
from .timestamps import EPOCH, from_micros, to_micros

SEEN, WORKED, SESSION_STARTED, ANSWER, TOOL, INTERRUPTED = (
    "life",
    "work",
    "start",
    "answer",
    "tool",
    "halt",
)
"""Kinds of signs of which only the latest time matters."""
TASK = "task:"
"""Begins the keys of background tasks among the children; all others are subagents."""

Timed = tuple[str, datetime]
"""What happened and when."""


@dataclass
class AgentState:
    """One agent's facts, evidence and present verdict; a value: ``observe`` copies, never edits.

    Attributes:
        presence: the verdict that ``judge`` drew last.
        last_activity: time of the newest sign, and ``last_signal_at`` the same, a few microseconds later
            where several events share that instant; ``last_signal_at`` is None before the first sign.
        last_event: event type and tool (or "") of the newest sign of work, before any the newest.
        latest: kind of sign → its latest time in this session.
        open_tools: key of the call (its id, else the tool's name) → (tool name, begin).
        closed: id or name of tools → latest end, for what begins before it and arrives after it;
            microseconds since 1970, because there are many and they are written each time.
        asking: key of an open call that is itself a question to a person → (kind, begin).
        children: id of a subagent or background task → begin, and ``stopped`` the same → end.
        questions: the tool that is asked for ("": not known) → (kind, since); the kinds are
            "permission", "plan" (its approval) and "input".
        background: tasks that the agent named when its last turn ended, and when.
        turn_end: how and when a turn last ended; work after it makes it void.
        ended: how and when the session or its process last ended; life after it makes it void.
    """

    presence: AgentPresence
    total_tools: int = 0
    total_errors: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None
    session_id: str | None = None
    feature_id: str | None = None
    tool_name: str | None = None
    model: str | None = None
    project: str | None = None
    host: str | None = None
    parent_agent_id: str | None = None
    last_activity: datetime | None = None
    last_signal_at: datetime | None = None
    last_event: tuple[str, str] = ("", "")
    latest: dict[str, datetime] = field(default_factory=dict)
    open_tools: dict[str, Timed] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    children: dict[str, datetime] = field(default_factory=dict)
    stopped: dict[str, datetime] = field(default_factory=dict)
    asking: dict[str, Timed] = field(default_factory=dict)
    questions: dict[str, Timed] = field(default_factory=dict)
    background: tuple[int, datetime] | None = None
    turn_end: Timed | None = None
    ended: Timed | None = None

    @classmethod
    def new(cls, agent_id: str, now: datetime) -> AgentState:
        """Return the state of an agent of which nothing is known yet."""
        return cls(AgentPresence(agent_id, last_activity=now))

    @property
    def agent_id(self) -> str:
        """Whose state it is."""
        return self.presence.agent_id

    def copy(self) -> AgentState:
        """Return a copy that shares its dicts; ``observe`` replaces them, never edits them."""
        twin = AgentState.__new__(AgentState)
        twin.__dict__.update(self.__dict__)
        return twin

    @property
    def has_open_work(self) -> bool:
        """Whether evidence forbids to call the agent idle because of mere silence."""
        work = self.open_tools or self.children or self.n_background or self.waiting
        return bool(work) and self.session_end_reason is None

    @property
    def n_background(self) -> int:
        """How many background tasks the agent named when its last turn ended."""
        return 0 if self.background is None else self.background[0]

    @property
    def session_end_reason(self) -> str | None:
        """How the session ended; None while it lives."""
        if self.ended is None:
            return None
        how, at = self.ended
        told = how in ("session_end", "process_exit")
        alive_at = self.latest.get(SEEN) if told else self.last_activity
        return how if alive_at is None or at >= alive_at else None

    @property
    def turn_end_reason(self) -> str | None:
        """How the turn ended, "session_start" where none began yet; None while one runs."""
        worked_at = self.latest.get(WORKED, EPOCH)
        if self.turn_end is not None and self.turn_end[1] >= worked_at:
            return self.turn_end[0]
        begun_at = self.latest.get(SESSION_STARTED, EPOCH)
        return "session_start" if begun_at > time_of(self.ended) >= worked_at else None

    @property
    def waiting(self) -> tuple[str, str] | None:
        """Kind of the oldest open question and the tool it is about or ""; None: none."""
        if not self.questions and not self.asking:
            return None
        # Input that is asked for after the end of a turn is no more than the prompt.
        in_turn = self.latest.get(WORKED, EPOCH) >= time_of(self.turn_end)
        asked = [
            (at, kind, tool)
            for tool, (kind, at) in self.questions.items()
            if in_turn or kind != "input"
        ]
        asked += [(at, kind, "") for kind, at in self.asking.values()]
        return min(asked)[1:] if asked else None

    def forget_session(self) -> None:
        """Drop the evidence of a session that another one follows."""
        self.latest, self.open_tools, self.closed = {}, {}, {}
        self.children, self.stopped = {}, {}
        self.asking, self.questions = {}, {}
        self.background = self.turn_end = self.ended = None


def time_of(mark: Timed | None) -> datetime:
    """Return when it happened; 1970 if it did not."""
    return EPOCH if mark is None else mark[1]


def to_json(state: AgentState) -> str:
    """Return the evidence as a JSON object for the store; times are microseconds since 1970."""
    # Written for each event of each agent: it looks at nothing that is not there, and no dict is
    # built on the way to the text.
    kind, tool = state.last_event
    parts = [f'"last_event":[{_quote(kind)},{_quote(tool)}]']
    if state.last_signal_at is None:
        parts.append('"silent":true')
    elif state.last_signal_at != state.last_activity:
        parts.append(f'"newest":{to_micros(state.last_signal_at)}')
    known = state.__dict__
    for name in _MARKS:
        if mark := known[name]:
            parts.append(f'"{name}":{_mark_json(mark)}')
    if state.closed:
        closed = [f"{_quote(key)}:{micros}" for key, micros in state.closed.items()]
        parts.append(f'"closed":{{{",".join(closed)}}}')
    # Most are of one and the same moment.
    moment, micros = EPOCH, 0
    for name in _TIMES:
        if times := known[name]:
            items = []
            for key, at in times.items():
                if at is not moment:
                    moment, micros = at, to_micros(at)
                items.append(f"{_quote(key)}:{micros}")
            parts.append(f'"{name}":{{{",".join(items)}}}')
    for name in _MARKS_BY_KEY:
        if marks := known[name]:
            items = [f"{_quote(key)}:{_mark_json(mark)}" for key, mark in marks.items()]
            parts.append(f'"{name}":{{{",".join(items)}}}')
    return f"{{{','.join(parts)}}}"


def _mark_json(mark: tuple[str | int, datetime]) -> str:
    what, at = mark
    return f"[{what if isinstance(what, int) else _quote(what)},{to_micros(at)}]"


def from_json(presence: AgentPresence, text: str) -> AgentState:
    """Return the state of a stored presence and its evidence, as ``to_json`` returns it.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, OverflowError: it was not written here.
    """
    record: Mapping[str, Any] = json.loads(text)
    kind, tool = record.get("last_event", ("", ""))
    newest = from_micros(record["newest"]) if "newest" in record else presence.last_activity
    silent = record.get("silent", False)
    return AgentState(
        presence=presence,
        total_tools=presence.total_tools_executed,
        total_errors=presence.total_errors,
        total_tokens=presence.total_cost_tokens,
        cost_usd=presence.cost_usd,
        session_id=presence.session_id,
        feature_id=presence.current_feature_id,
        tool_name=presence.last_tool_name,
        model=presence.model,
        project=presence.project,
        host=presence.host,
        parent_agent_id=presence.parent_agent_id,
        last_activity=presence.last_activity,
        last_signal_at=None if silent else newest,
        last_event=(kind, tool),
        closed={key: int(micros) for key, micros in record.get("closed", {}).items()},
        **{name: _in(record.get(name)) for name in _MARKS},
        **{name: _in(record.get(name, {})) for name in (*_TIMES, *_MARKS_BY_KEY)},
    )


_MARKS = ("background", "turn_end", "ended")
_TIMES = ("latest", "children", "stopped")
_MARKS_BY_KEY = ("open_tools", "asking", "questions")


def _in(value: Any) -> Any:
    if isinstance(value, int):
        return from_micros(value)
    if isinstance(value, dict):
        return {key: _in(item) for key, item in value.items()}
    return None if value is None else (value[0], from_micros(value[1]))
