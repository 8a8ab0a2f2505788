"""Deduplicate events that several sources report. Pure functions.

Hooks, session files and telemetry report the same sessions. If they share an id, such as that of a
tool call, the event id is derived from it, and the store drops a second event with the same id.
All other reports are counted per dedup key and source: if hooks and the session file report the
same key three times each, there were three events. So a report is a new event only if its source
has already reported the key as often as every other source. The result does not depend on the
order of arrival, and counts survive a restart.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple, Protocol

from .ids import agent_id_of, is_issued_id
from .model import AgentPresence, Event
from .timestamps import to_micros

TOLERANCE = timedelta(seconds=5)
"""Maximum difference between the timestamps that two sources give to the same event."""
METRIC_INTERVAL = timedelta(seconds=60)
"""Time covered by a data point of a metric that does not say it: the usual export interval."""
METRIC_INTERVAL_FIELD = "interval_s"
"""Name in ``extra`` of the seconds that the increase of a token counter covers."""
_MAX_INTERVAL_S = 10**9
METRIC_ID_PREFIX = "metric:"
"""Prefix of the ids of completions that stand for the increase of a token counter."""
COMPLETIONS, METRICS = "answers", "metrics"
"""Kinds of a TokenSource. The values are stored, so they stay as older versions wrote them."""

_TURN = frozenset({"prompt", "stop", "interrupt", "error"})
_STOP_DETAILS = frozenset({"background_tasks", "question"})
"""Fields of a stop event that only some sources report."""
_CHILD = frozenset({"subagent_start", "subagent_stop"})
_TOOL = {
    "tool_start": "start",
    "tool_execute": "end",
    "tool_error": "end",
}
_REPEATABLE = re.compile(r"(.+)@(\d+):([^:]*)(:.*)?", re.DOTALL)
"""Event id of an answer whose own id may be repeated: that id, time and line of its first line."""
_UUID_CHARS = 36
_MAX_ALIASES = 50_000


class AgentSources(Protocol):
    """How the sources of one kind of coding agent report.

    Attributes:
        name: the prefix of the ids of its agents.
        hook_source, session_source: the ``source`` of events from its hooks and session files.
        shares_call_ids: whether all its sources use the same ids of tool calls.
        subagents_are_sessions: whether telemetry reports a subagent as a session of its own.
    """

    @property
    def name(self) -> str: ...
    @property
    def hook_source(self) -> str: ...
    @property
    def session_source(self) -> str: ...
    @property
    def shares_call_ids(self) -> bool: ...
    @property
    def subagents_are_sessions(self) -> bool: ...


class DedupRules:
    """How events of the supported kinds of agents are compared.

    Attributes:
        agents: names of the kinds of agents.
        source_kinds: ``source`` of an event → "hook", "file", "otlp", "chat" or "older".
        without_call_ids: sources whose tool calls have no id, or one that no other source has.
        kinds_without_call_ids: names of the kinds of agents that have such sources.
        session_prefixes: prefixes of the ids of agents whose subagents are sessions of their own.
    """

    def __init__(self, agents: Iterable[AgentSources]) -> None:
        agents = list(agents)
        self.agents = [agent.name for agent in agents]
        self.source_kinds = {
            "otlp": "otlp",
            "htmlgraph": "older",
            "jupyter-ai": "chat",
            **{agent.hook_source: "hook" for agent in agents},
            **{agent.session_source: "file" for agent in agents},
        }
        self.without_call_ids = frozenset(
            source
            for agent in agents
            if not agent.shares_call_ids
            for source in (agent.hook_source, agent.session_source)
        )
        self.kinds_without_call_ids = frozenset(
            agent.name for agent in agents if not agent.shares_call_ids
        )
        self.session_prefixes = tuple(
            f"{agent.name}-" for agent in agents if agent.subagents_are_sessions
        )

    def source_kind(self, source: str | None) -> str | None:
        """Return the kind of a source; None if no other source reports the same events."""
        return None if source is None else self.source_kinds.get(source)


class DedupKey(NamedTuple):
    """Identifies an event across sources.

    Attributes:
        name: the key; equal for reports of the same event.
        source: kind of source: "hook", "file", "otlp", "chat" (of Jupyter AI) or "older" (the older
            project's database).
        tolerance: maximum time between two reports of the same event; None: unlimited.
        always_count: never a duplicate of another source's report, as it has more details.
        latest_wins: not a duplicate if it is later than all reports of other sources.
    """

    name: str
    source: str
    tolerance: timedelta | None = None
    always_count: bool = False
    latest_wins: bool = False


def dedup_key(event: Event, rules: DedupRules) -> DedupKey | None:
    """Return the dedup key of an event; None if only one source can report it."""
    source = rules.source_kind(event.source)
    if source is None or event.session_id is None:
        return None
    kind = event.event_type
    if kind == "completion":
        name = _completion_key(event, rules)
        return None if name is None else DedupKey(name, source)
    if kind in _TURN:
        always_count = kind == "stop" and not _STOP_DETAILS.isdisjoint(event.extra or ())
        latest_wins = kind in ("stop", "interrupt")
        return DedupKey(
            f"{event.session_id}:{event.agent_id}:{kind}",
            source,
            TOLERANCE,
            always_count,
            latest_wins,
        )
    if kind in _CHILD:
        child = (event.extra or {}).get("child_agent_id")
        return DedupKey(f"{event.session_id}:{child}:{kind}", source)
    if kind == "session_start" or (kind == "session_end" and event.parent_agent_id is not None):
        return DedupKey(f"{event.session_id}:{event.agent_id}:{kind}", source)
    if kind in _TOOL and _lacks_call_id(event, rules):
        return DedupKey(f"{event.session_id}:{event.tool_name}:{_TOOL[kind]}", source)
    return None


def _lacks_call_id(event: Event, rules: DedupRules) -> bool:
    """Return whether another source of the same call may not know its id."""
    if event.tool_use_id is None or event.source in rules.without_call_ids:
        return True
    return event.source == "otlp" and event.agent_kind in rules.kinds_without_call_ids


def _completion_key(event: Event, rules: DedupRules) -> str | None:
    if is_metric(event):
        return None
    request = (event.extra or {}).get("request_id")
    if isinstance(request, str):
        is_unique = is_issued_id(request)
        return f"answer:{request}" if is_unique else f"{event.session_id}:answer:{request}"
    # Without a request id, sources agree only on the numbers of input and output tokens.
    is_session = event.agent_id.startswith(rules.session_prefixes)
    owner = event.agent_id if is_session else event.session_id
    return f"{owner}:answer:{input_total(event)}:{event.output_tokens or 0}"


def is_metric(event: Event) -> bool:
    """Return whether a completion stands for the increase of a token counter."""
    return event.event_id is not None and event.event_id.startswith(METRIC_ID_PREFIX)


class AnswerAliases(NamedTuple):
    """Other names of an answer whose id may be repeated, so it is not identified by it alone.

    Attributes:
        plain_id: the event id that it would have if its id were unique.
        names: one name for its time and input, and one for its line if that has an id. An answer
            that shares one of them is a copy.
    """

    plain_id: str
    names: tuple[str, ...]


def answer_aliases(event: Event) -> AnswerAliases | None:
    """Return the other names of an answer; None if its event id alone identifies it."""
    event_id = event.event_id
    if event.event_type != "completion" or event_id is None or "@" not in event_id:
        return None
    match = _REPEATABLE.fullmatch(event_id)
    if match is None:
        return None
    answer, micros, line, part = match.groups(default="")
    plain_id = f"{answer}{part}"
    by_time = f"{plain_id}@{micros}={input_total(event)}"
    return AnswerAliases(plain_id, (by_time, f"{plain_id}#{line}") if line else (by_time,))


class AnswerFacts(NamedTuple):
    """What a copy of an answer has in common with it.

    Attributes:
        ts: time, microseconds since 1970.
        session: id of the session; a fork has another one.
        used: input tokens, cached or not; 0: unknown.
    """

    ts: int
    session: str | None
    used: int

    def is_copy_of(self, other: AnswerFacts) -> bool:
        """Return whether this can be the other answer, or a copy of it, if their ids are equal.

        Lines of one answer have the same input, and its copies the same time. A relay can give the
        answers of several sessions one id in the form that Anthropic's API issues.
        """
        if self.session == other.session or self.ts == other.ts or 0 in (self.used, other.used):
            return True
        return self.used == other.used


def answer_facts(event: Event) -> AnswerFacts | None:
    """Return the facts of an answer whose event id is an issued id alone; None for other events."""
    event_id = event.event_id
    if event.event_type != "completion" or event_id is None or event.timestamp is None:
        return None
    if "@" in event_id or not is_issued_id(event_id.partition(":")[2].partition(":")[0]):
        return None
    return AnswerFacts(to_micros(event.timestamp), event.session_id, input_total(event))


def repeated_answer(event_id: str, ts: int) -> str:
    """Return the event id of another answer with the id of an earlier one, by its time."""
    return f"{event_id}@{ts}:"


def input_total(event: Event) -> int:
    """Return the input tokens of a completion, cached or not."""
    counts = (
        event.input_tokens,
        event.cache_read_tokens,
        event.cache_write_5m_tokens,
        event.cache_write_1h_tokens,
    )
    return sum(filter(None, counts))


def supersedes(new: Event, existing: Event) -> bool:
    """Return whether ``new`` replaces ``existing``, an event with the same ``event_id``.

    Of the copies of a completion, the copy with the most output tokens counts, and of equal copies
    the latest. A copy in a subagent's file counts only if the parent's file has none. The order of
    reading makes no difference.
    """
    return new.event_type == "completion" and _rank(new) > _rank(existing)


def _rank(completion: Event) -> tuple[bool, int, float]:
    at = completion.timestamp.timestamp() if completion.timestamp else 0.0
    return completion.parent_agent_id is None, completion.output_tokens or 0, at


class TokenSource(NamedTuple):
    """The kind of events that counts the tokens of a session; only one of the two kinds counts.

    Attributes:
        name: key of the session.
        kind: COMPLETIONS or METRICS.
        lookback: time before its timestamp for which an event counts tokens.
    """

    name: str
    kind: str
    lookback: timedelta


def token_source_of(event: Event, rules: DedupRules) -> TokenSource | None:
    """Return the token source that a completion belongs to; None for other events.

    A token counter includes the tokens of all completions. Once one kind has reported tokens of a
    session, the other no longer counts.
    """
    if event.event_type != "completion" or event.session_id is None:
        return None
    if rules.source_kind(event.source) is None:
        return None
    if is_metric(event):
        return TokenSource(f"{event.session_id}:tokens", METRICS, _interval_of(event))
    return TokenSource(f"{event.session_id}:tokens", COMPLETIONS, timedelta())


def _interval_of(metric: Event) -> timedelta:
    seconds = (metric.extra or {}).get(METRIC_INTERVAL_FIELD)
    if type(seconds) is not int or not 0 <= seconds <= _MAX_INTERVAL_S:
        return METRIC_INTERVAL
    return timedelta(seconds=seconds)


def aliases_of(agents: Iterable[AgentPresence], rules: DedupRules) -> Iterator[tuple[str, str]]:
    """Yield the aliases of agents, as (default id, alias).

    Versions that did not store aliases derived them from the main agents of sessions.
    """
    for agent in agents:
        session = agent.session_id
        if agent.parent_agent_id or session is None or len(session) != _UUID_CHARS:
            continue
        defaults = [agent_id_of(session, kind) for kind in rules.agents]
        if agent.agent_id not in defaults:
            is_known = agent.agent_kind in rules.agents
            kinds = [str(agent.agent_kind)] if is_known else rules.agents
            yield from ((agent_id_of(session, kind), agent.agent_id) for kind in kinds)


class AgentAliases:
    """The agent ids that hooks give to the main agents of sessions.

    Only hooks see ``HTMLGRAPH_AGENT``; session files and telemetry derive the id from the session.
    """

    def __init__(self, rules: DedupRules) -> None:
        self._rules = rules
        self._aliases: dict[str, str] = {}

    def new_of(self, events: Iterable[Event]) -> dict[str, str]:
        """Return the aliases in hook events that are not known, by default id.

        Args:
            events: new events of any source.
        """
        new: dict[str, str] = {}
        for event in events:
            if self._rules.source_kind(event.source) != "hook" or event.session_id is None:
                continue
            main = event.parent_agent_id or event.agent_id
            default = agent_id_of(event.session_id, str(event.source).removesuffix("-hook"))
            if main != default and (new.get(default) or self._aliases.get(default)) != main:
                new[default] = main
        return new

    def put(self, default_id: str, alias: str) -> list[str]:
        """Add or replace an alias, and return the default ids of those that are evicted for it."""
        self._aliases.pop(default_id, None)
        self._aliases[default_id] = alias
        evicted = []
        while len(self._aliases) > _MAX_ALIASES:
            evicted.append(next(iter(self._aliases)))
            del self._aliases[evicted[-1]]
        return evicted

    def apply(
        self, events: Sequence[Event], new: Mapping[str, str] | None = None
    ) -> Sequence[Event]:
        """Return the events with aliases in place of the default ids of agents and parents.

        Args:
            new: aliases that replace the known ones.
        """
        if not self._aliases and not new:
            return events
        aliases = ChainMap({**new}, self._aliases) if new else self._aliases
        return [self._with_alias(event, aliases) for event in events]

    def _with_alias(self, event: Event, aliases: Mapping[str, str]) -> Event:
        if self._rules.source_kind(event.source) is None:
            return event
        own = aliases.get(event.agent_id)
        parent = None if event.parent_agent_id is None else aliases.get(event.parent_agent_id)
        if own is None and parent is None:
            return event
        return replace(
            event, agent_id=own or event.agent_id, parent_agent_id=parent or event.parent_agent_id
        )
