"""AgentState: the facts, the evidence and the status of one agent, and their stored form.

Only ``reducer.reduce`` adds events to it. Its properties return the evidence that still counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from .hosts.host_contact import lost_since
from .model import LABELS, NO_LABELS, AgentPresence, labels_of
from .timestamps import EPOCH, from_micros, to_micros
from .validation import MAX_INTEGER

SEEN, WORKED, SESSION_STARTED, ANSWERED, TOOL_ENDED, TURN_BROKEN = (
    *("life", "work", "start", "answer", "tool", "halt"),
)
"""Kinds of signals; only the latest time of each is kept. TURN_BROKEN: an interrupt or an error.

The values are stored in databases, so they stay as older versions wrote them.
"""
TASK_PREFIX = "task:"
"""Prefix of the keys of background tasks in ``children``; all other keys are subagents."""

RETRYING = "retrying"
"""The kind of ``AgentState.blocked`` while the agent repeats a failed request."""
OF_SESSION = frozenset({"title", "worktree", "pr"})
"""Labels that another session of the agent does not share."""

CONTEXT = "context"
"""Key of the tokens in the context in ``facts_at``."""

# The names of counts, and that of a cost.
_TOTALS = ("total_tokens", "unpriced_tokens"), "cost_usd"
_SESSION_TOTALS = ("total_tools", "total_errors", "session_tokens"), "session_cost_usd"

Timed = tuple[str, datetime]
"""An event type, a tool name or another detail, and its timestamp."""


@dataclass
class AgentState:
    """Facts, evidence and status of one agent; treat it as immutable, ``reduce`` returns a copy.

    Attributes:
        presence: the status that was last derived from the evidence.
        last_activity: timestamp of the latest event of the agent.
        last_signal_at: like ``last_activity``, plus a microsecond for each further event with the
            same timestamp; None until the agent has sent an event itself.
        last_event: type and tool (or "") of the latest event that shows work, else of the latest.
        latest: kind of signal → its latest timestamp in the current session.
        open_tools: tool calls without an end: key of the call (its id, else the tool name) →
            (tool name, start).
        tool_ends: ends of tool calls, for starts that arrive late: id of a call or name of a tool →
            latest end. Microseconds since 1970, because many are kept and all are stored with each
            event.
        waiting_calls: those of ``open_tools`` that wait for a person: key of the call → (kind of
            question, start).
        questions: questions without a tool call of their own, from permission requests and
            notifications: tool ("": unknown) → (kind, start). The kinds of all questions are
            "permission", "plan" (approval of a plan) and "input".
        children: subagents and background tasks without an end: id → start.
        child_ends: ends of subagents and background tasks, for starts that arrive late: id → end.
        background: number of background tasks that the agent reported at the end of its last turn,
            and when; ``children`` may contain the same tasks.
        turn_end: how and when the last turn ended; later work cancels it.
        ended: how and when the session or its process ended; later signals cancel it.
        labels: the fields LABELS of the events, in this order, the latest value of each.
        facts_at: name of a label that can change, or CONTEXT for the tokens in the context → time
            of the event with its value, as sources report late; also times of ``host_contact``.
        context_tokens, context_window, context_source: see AgentPresence.
        compacted_at: when the context of the session was last compacted.
        blocked: why the agent cannot work and since when; later work cancels it.
        blocked_until: when the agent can work again; None: not reported.
        attempt: numbers of the current retry and of the last one, as "3 of 10"; "" if unknown.
        to_view: end of the last turn, unless a person has looked at the agent since.
        hooks: whether a hook reported this session; False: only its session file did.
        process_at: since when the agent's process is known to be running; None: it is not.
        busy_at: when that process last reported that it works; None: it did not.
        resumed_at: when the server last resumed after a pause, from which silence counts.
        session_tokens, session_cost_usd: totals of the current session.
        unpriced_tokens: those of ``total_tokens`` whose price is unknown.
        reported_by: id of the host whose server forwards the events, and since when; None: none.
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
    tool_ends: dict[str, int] = field(default_factory=dict)
    children: dict[str, datetime] = field(default_factory=dict)
    child_ends: dict[str, datetime] = field(default_factory=dict)
    waiting_calls: dict[str, Timed] = field(default_factory=dict)
    questions: dict[str, Timed] = field(default_factory=dict)
    background: tuple[int, datetime] | None = None
    turn_end: Timed | None = None
    ended: Timed | None = None
    labels: tuple[str | None, ...] = NO_LABELS
    facts_at: dict[str, datetime] = field(default_factory=dict)
    context_tokens: int | None = None
    context_window: int | None = None
    context_source: str | None = None
    compacted_at: datetime | None = None
    blocked: Timed | None = None
    blocked_until: datetime | None = None
    attempt: str = ""
    to_view: datetime | None = None
    hooks: bool | None = None
    process_at: datetime | None = None
    busy_at: datetime | None = None
    resumed_at: datetime | None = None
    session_tokens: int = 0
    session_cost_usd: float | None = None
    unpriced_tokens: int = 0
    reported_by: Timed | None = None

    @classmethod
    def new(cls, agent_id: str, now: datetime) -> AgentState:
        """Return the state of an agent without events."""
        return cls(AgentPresence(agent_id, last_activity=now))

    @property
    def agent_id(self) -> str:
        """The id of the agent."""
        return self.presence.agent_id

    def copy(self) -> AgentState:
        """Return a shallow copy; ``reduce`` replaces the dicts and never modifies them."""
        duplicate = AgentState.__new__(AgentState)
        duplicate.__dict__.update(self.__dict__)
        return duplicate

    @property
    def n_background(self) -> int:
        """The number of ``background``; 0 if nothing was reported."""
        return 0 if self.background is None else self.background[0]

    @property
    def session_end_reason(self) -> str | None:
        """How the session ended; None if it is not over."""
        if self.ended is None:
            return None
        reason, at = self.ended
        if reason == "timer" and self.alive:
            return None
        reported = reason in ("session_end", "process_exit")
        seen_at = self.latest.get(SEEN) if reported else self.last_activity
        return reason if seen_at is None or at >= seen_at else None

    @property
    def turn_end_reason(self) -> str | None:
        """How the turn ended, "session_start" before the first turn; None during a turn."""
        worked_at = self.latest.get(WORKED, EPOCH)
        if self.turn_end is not None and self.turn_end[1] >= worked_at:
            return self.turn_end[0]
        started_at = self.latest.get(SESSION_STARTED, EPOCH)
        return "session_start" if started_at > time_of(self.ended) >= worked_at else None

    @property
    def waiting(self) -> tuple[str, str] | None:
        """Kind of the oldest open question and its tool (or ""); None if there is no question."""
        if not self.questions and not self.waiting_calls:
            return None
        # A request for input after the end of a turn only means that the agent is at its prompt.
        in_turn = self.latest.get(WORKED, EPOCH) >= time_of(self.turn_end)
        waiting = [
            (at, kind, tool)
            for tool, (kind, at) in self.questions.items()
            if in_turn or kind != "input"
        ]
        waiting += [(at, kind, "") for kind, at in self.waiting_calls.values()]
        return min(waiting)[1:] if waiting else None

    @property
    def alive(self) -> bool:
        """Whether the agent's process is known to be running."""
        is_known = self.process_at is not None
        return is_known and lost_since(self.facts_at, self.last_activity) is None

    @property
    def busy(self) -> bool:
        """Whether a running process reports that the agent works, however long it is silent."""
        return self.alive and (self.busy_at or EPOCH) > time_of(self.turn_end)

    @property
    def silent_since(self) -> datetime:
        """Start of the silence that the timers measure."""
        return max(self.presence.last_activity, self.resumed_at or EPOCH)

    @property
    def cannot_work(self) -> str | None:
        """Why the agent cannot work, such as "rate_limited"; None if it can."""
        if self.blocked is None or self.blocked[1] < self.latest.get(WORKED, EPOCH):
            return None
        kind = self.blocked[0]
        # A retry ends with its turn; a limit lasts until the agent works again.
        return None if kind == RETRYING and self.turn_end_reason is not None else kind

    def later_turn_end(self, end: Timed) -> Timed:
        """Return ``turn_end`` or another end of a turn, of which one is later or was reported."""
        before = self.turn_end
        if before is None:
            return end
        if (before[0] == "timer") != (end[0] == "timer"):
            # The idle timer says nothing new about a turn whose end was reported.
            reported = before if end[0] == "timer" else end
            if reported[1] >= self.latest.get(WORKED, EPOCH):
                return reported
        return end if end[1] >= before[1] else before

    def add_totals(
        self, own: AgentState, other: AgentState, common: AgentState | None = None
    ) -> None:
        """Set the totals to those of two states of the agent, of which this one is a copy.

        The totals of a session are added up only if both are in the same one.

        Args:
            common: the state that both continue, so that its totals count once; None: there is
                none.
        """
        self._add(own, other, common, *_TOTALS)
        if own.session_id == other.session_id:
            in_session = common is not None and common.session_id == own.session_id
            self._add(own, other, common if in_session else None, *_SESSION_TOTALS)

    def _add(
        self,
        own: AgentState,
        other: AgentState,
        common: AgentState | None,
        counts: tuple[str, ...],
        cost: str,
    ) -> None:
        for name in counts:
            total = getattr(own, name) + getattr(other, name) - getattr(common, name, 0)
            setattr(self, name, min(max(total, 0), MAX_INTEGER))
        costs = getattr(own, cost), getattr(other, cost)
        if costs != (None, None):
            spent = sum(filter(None, costs), 0.0) - (getattr(common, cost, None) or 0.0)
            setattr(self, cost, max(0.0, spent))

    def forget_session(self) -> None:
        """Remove the evidence of the previous session."""
        self.latest, self.open_tools, self.tool_ends = {}, {}, {}
        self.children, self.child_ends = {}, {}
        self.waiting_calls, self.questions = {}, {}
        self.background = self.turn_end = self.ended = None
        self.blocked = self.blocked_until = self.to_view = None
        self.attempt = ""
        labels = zip(LABELS, self.labels, strict=True)
        self.labels = tuple([None if name in OF_SESSION else value for name, value in labels])
        dropped = (*OF_SESSION, CONTEXT)
        self.facts_at = {name: at for name, at in self.facts_at.items() if name not in dropped}
        self.context_tokens = self.context_window = self.context_source = None
        self.compacted_at = self.hooks = self.process_at = self.busy_at = None
        self.session_tokens, self.session_cost_usd = 0, None


def time_of(timed: Timed | None) -> datetime:
    """Return the timestamp of ``timed``; 1970 for None."""
    return EPOCH if timed is None else timed[1]


def to_json(state: AgentState) -> str:
    """Return the evidence as a JSON object for the store; times are microseconds since 1970."""
    # Hot path, runs for each event: skips empty fields and builds the string without a dict.
    kind, tool = state.last_event
    parts = [f'"last_event":[{_quote(kind)},{_quote(tool)}]']
    if state.last_signal_at is None:
        parts.append('"silent":true')
    elif state.last_signal_at != state.last_activity:
        parts.append(f'"newest":{to_micros(state.last_signal_at)}')
    fields = state.__dict__
    for name in _TIMED_FIELDS:
        if timed := fields[name]:
            parts.append(f'"{name}":{_timed_json(timed)}')
    if state.tool_ends:
        ends = [f"{_quote(key)}:{micros}" for key, micros in state.tool_ends.items()]
        parts.append(f'"closed":{{{",".join(ends)}}}')
    # Most of these are the same object, so its conversion is reused.
    previous, micros = EPOCH, 0
    for name, json_name in _TIME_BY_KEY_FIELDS.items():
        if times := fields[name]:
            items = []
            for key, at in times.items():
                if at is not previous:
                    previous, micros = at, to_micros(at)
                items.append(f"{_quote(key)}:{micros}")
            parts.append(f'"{json_name}":{{{",".join(items)}}}')
    for name, json_name in _TIMED_BY_KEY_FIELDS.items():
        if timed_by_key := fields[name]:
            items = [f"{_quote(key)}:{_timed_json(timed)}" for key, timed in timed_by_key.items()]
            parts.append(f'"{json_name}":{{{",".join(items)}}}')
    for name in _TIME_FIELDS:
        if at := fields[name]:
            parts.append(f'"{name}":{to_micros(at)}')
    if state.attempt:
        parts.append(f'"attempt":{_quote(state.attempt)}')
    return f"{{{','.join(parts)}}}"


def _timed_json(timed: tuple[str | int, datetime]) -> str:
    value, at = timed
    return f"[{value if isinstance(value, int) else _quote(value)},{to_micros(at)}]"


def from_json(presence: AgentPresence, text: str) -> AgentState:
    """Return the state of a stored presence and its evidence.

    Args:
        text: result of ``to_json``.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, OverflowError: any other text.
    """
    record: dict[str, Any] = json.loads(text)
    if presence.detail_until is not None:
        record["blocked_until"] = to_micros(presence.detail_until)
    kind, tool = record.get("last_event", ("", ""))
    last_signal_at = presence.last_activity
    if "newest" in record:
        last_signal_at = from_micros(record["newest"])
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
        last_signal_at=None if record.get("silent") else last_signal_at,
        last_event=(kind, tool),
        tool_ends={key: int(micros) for key, micros in record.get("closed", {}).items()},
        labels=labels_of(presence),
        context_tokens=presence.context_tokens,
        context_window=presence.context_window,
        context_source=presence.context_source,
        compacted_at=presence.compacted_at,
        attempt=record.get("attempt", ""),
        hooks=presence.hooks,
        session_tokens=presence.session_tokens,
        session_cost_usd=presence.session_cost_usd,
        unpriced_tokens=presence.unpriced_tokens,
        **{name: _decode(record.get(name)) for name in _TIME_FIELDS},
        **{name: _decode(record.get(name)) for name in _TIMED_FIELDS},
        **{
            name: _decode(record.get(json_name, {}))
            for fields in (_TIME_BY_KEY_FIELDS, _TIMED_BY_KEY_FIELDS)
            for name, json_name in fields.items()
        },
    )


_TIMED_FIELDS = ("background", "turn_end", "ended", "blocked", "reported_by")
_TIME_FIELDS = ("to_view", "process_at", "busy_at", "resumed_at", "blocked_until")
# Field → key in the stored JSON, which stays as older versions wrote it.
_TIME_BY_KEY_FIELDS = {
    "latest": "latest",
    "children": "children",
    "child_ends": "stopped",
    "facts_at": "facts_at",
}
_TIMED_BY_KEY_FIELDS = {
    "open_tools": "open_tools",
    "waiting_calls": "asking",
    "questions": "questions",
}


def _decode(value: Any) -> Any:
    if isinstance(value, int):
        return from_micros(value)
    if isinstance(value, dict):
        return {key: _decode(item) for key, item in value.items()}
    return None if value is None else (value[0], from_micros(value[1]))
