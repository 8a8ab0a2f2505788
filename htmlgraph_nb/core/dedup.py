"""When what two sources tell is one fact: pure.

Hooks, session files and telemetry tell of the same sessions. Where they know an id in common, such
as that of a tool call, the event id is made of it, and the store knows a repetition by that alone.
For the rest each telling is counted under the name of its fact: of a fact that hooks tell three
times and the file tells three times, there are three. So a telling is new only where its own source
has told the fact as often as any other, and neither the order of arrival nor a restart matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple, Protocol

from .ids import agent_id_of
from .model import Event

TOLERANCE = timedelta(seconds=5)
"""By how much two sources can differ about when something happened that has no other name."""
METRIC_INTERVAL = timedelta(seconds=60)
"""How far a point of a metric reaches back: the usual interval of exports."""
METRIC_ID_PREFIX = "metric:"
"""Begins the ids of answers that stand for what a counter of tokens has grown by."""

_TURN = frozenset({"prompt", "stop", "interrupt", "error"})
_SAID_BY_STOPS = frozenset({"background_tasks", "question"})
"""Evidence in the end of a turn that not every source has."""
_CHILD = frozenset({"subagent_start", "subagent_stop"})
_TOOL = {
    "tool_start": "start",
    "tool_execute": "end",
    "tool_error": "end",
}
_UUID_CHARS = 36
_MAX_NAMES = 50_000


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
        families: ``source`` of an event → its kind of source: "hook", "file", "otlp" or "older".
        without_call_ids: sources whose tool calls have no id, or one that no other source has.
        session_prefixes: prefixes of the ids of agents whose subagents are sessions of their own.
    """

    def __init__(self, agents: Iterable[AgentSources]) -> None:
        agents = list(agents)
        self.agents = [agent.name for agent in agents]
        self.families = {
            "otlp": "otlp",
            "htmlgraph": "older",
            **{agent.hook_source: "hook" for agent in agents},
            **{agent.session_source: "file" for agent in agents},
        }
        self.without_call_ids = frozenset(
            source
            for agent in agents
            if not agent.shares_call_ids
            for source in (agent.hook_source, agent.session_source)
        )
        self.session_prefixes = tuple(
            f"{agent.name}-" for agent in agents if agent.subagents_are_sessions
        )

    def family(self, source: str | None) -> str | None:
        """Return the kind of a source; None if no other source reports the same events."""
        return None if source is None else self.families.get(source)


class DedupKey(NamedTuple):
    """What an event tells of.

    Attributes:
        name: tells it apart from all others that sources may tell in common.
        source: who tells it: "hook", "file", "otlp", "older" (the older project's database).
        near: how far apart in time two tellings of it are of the same; None: no matter how far.
        says_more: the telling counts even where another source told the fact: it says more of it.
        by_latest: so does one of a later time: what another source dates in between came before it.
    """

    name: str
    source: str
    tolerance: timedelta | None = None
    always_count: bool = False
    latest_wins: bool = False


def dedup_key(event: Event, rules: DedupRules) -> DedupKey | None:
    """Return what an event tells of that another source may tell, too; None: there is no such."""
    source = rules.family(event.source)
    if source is None or event.session_id is None:
        return None
    kind = event.event_type
    if kind == "completion":
        name = _completion_key(event, rules)
        return None if name is None else DedupKey(name, source)
    if kind in _TURN:
        says_more = kind == "stop" and not _SAID_BY_STOPS.isdisjoint(event.extra or ())
        dated = kind in ("stop", "interrupt")
        return DedupKey(
            f"{event.session_id}:{event.agent_id}:{kind}", source, TOLERANCE, says_more, dated
        )
    if kind in _CHILD:
        child = (event.extra or {}).get("child_agent_id")
        return DedupKey(f"{event.session_id}:{child}:{kind}", source)
    if kind == "session_start" or (kind == "session_end" and event.parent_agent_id is not None):
        return DedupKey(f"{event.session_id}:{event.agent_id}:{kind}", source)
    if kind in _TOOL and (event.tool_use_id is None or event.source in rules.without_call_ids):
        return DedupKey(f"{event.session_id}:{event.tool_name}:{_TOOL[kind]}", source)
    return None


def _completion_key(event: Event, rules: DedupRules) -> str | None:
    if is_metric(event):
        return None
    request = (event.extra or {}).get("request_id")
    if isinstance(request, str):
        return f"answer:{request}"
    # Without the id of a request, sources agree only on the number of input and output tokens.
    is_session = event.agent_id.startswith(rules.session_prefixes)
    who = event.agent_id if is_session else event.session_id
    counts = (
        event.input_tokens,
        event.cache_read_tokens,
        event.cache_write_5m_tokens,
        event.cache_write_1h_tokens,
    )
    return f"{who}:answer:{sum(filter(None, counts))}:{event.output_tokens or 0}"


def is_metric(event: Event) -> bool:
    """Return whether the event stands for the growth of a counter, not for one answer."""
    return event.event_id is not None and event.event_id.startswith(METRIC_ID_PREFIX)


def supersedes(new: Event, existing: Event) -> bool:
    """Return whether ``new`` replaces ``existing``, an event with the same ``event_id``.

    Of the copies of one completion, the one with the most output tokens counts, and of equal ones
    the latest. A copy in a subagent's file counts only if the parent's file has none. The order of
    reading makes no difference.
    """
    return new.event_type == "completion" and _rank(new) > _rank(existing)


def _rank(completion: Event) -> tuple[bool, int, float]:
    at = completion.timestamp.timestamp() if completion.timestamp else 0.0
    return completion.parent_agent_id is None, completion.output_tokens or 0, at


class TokenSource(NamedTuple):
    """By which of two means the tokens of a session are told, of which only one can count.

    Attributes:
        name: of the claim; one for each session.
        means: "answers" or "metrics".
        reach: how far before its event's time the event counts tokens.
    """

    name: str
    means: str
    lookback: timedelta


def token_source_of(event: Event, rules: DedupRules) -> TokenSource | None:
    """Return the claim that an answer makes; None: it makes none.

    A counter of tokens tells the same tokens as the answers, without saying of which: from when one
    of them has told of a session on, the other does not count.
    """
    if event.event_type != "completion" or event.session_id is None:
        return None
    if rules.family(event.source) is None:
        return None
    if is_metric(event):
        return TokenSource(f"{event.session_id}:tokens", "metrics", METRIC_INTERVAL)
    return TokenSource(f"{event.session_id}:tokens", "answers", timedelta())


class AgentAliases:
    """The names that hooks give to the main agents of sessions.

    ``HTMLGRAPH_AGENT`` reaches the hooks alone; files and telemetry know an agent by its session.
    """

    def __init__(self, rules: DedupRules) -> None:
        self._rules = rules
        self._names: dict[str, str] = {}

    def load(self, sessions: Iterable[tuple[str, str | None]]) -> None:
        """Take in the stored agents: id and session of each main agent."""
        for agent_id, session in sessions:
            if session is not None and len(session) == _UUID_CHARS:
                defaults = [agent_id_of(session, agent) for agent in self._rules.agents]
                if agent_id not in defaults:
                    self._names.update(dict.fromkeys(defaults, agent_id))

    def add(self, events: Iterable[Event]) -> list[tuple[str, str]]:
        """Take in the names that hooks give; return the ids that have another from now on, and it.

        Args:
            events: new ones, of any source.
        """
        found = []
        for event in events:
            if self._rules.family(event.source) != "hook" or event.session_id is None:
                continue
            main = event.parent_agent_id or event.agent_id
            default = agent_id_of(event.session_id, str(event.source).removesuffix("-hook"))
            if main != default and self._names.get(default) != main:
                self._names[default] = main
                found.append((default, main))
        while len(self._names) > _MAX_NAMES:
            del self._names[next(iter(self._names))]
        return found

    def apply(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events under the names that are given to their agents and parents."""
        return [self._renamed(event) for event in events] if self._names else events

    def _renamed(self, event: Event) -> Event:
        names = self._names
        if self._rules.family(event.source) is None:
            return event
        own = names.get(event.agent_id)
        parent = None if event.parent_agent_id is None else names.get(event.parent_agent_id)
        if own is None and parent is None:
            return event
        return replace(
            event, agent_id=own or event.agent_id, parent_agent_id=parent or event.parent_agent_id
        )
