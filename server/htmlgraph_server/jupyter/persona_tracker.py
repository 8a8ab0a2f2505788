"""From what Jupyter AI publishes about its personas to events. Pure: no I/O, no clock.

An agent whose own hooks or session files report it (Claude Code, Codex, …) gets only what those do
not know: the turns of the chat, waits for permission, and the place and title of the chat. Its
tools, model, context, tokens and cost come from its own sources. Until the first turn has ended it
is not known whether they report; what was published is kept until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from posixpath import basename, splitext
from typing import Any, NamedTuple

from htmlgraph_nb.coding_agents.fields import mapping, project_name, safe_keyword, string
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.dedup import METRIC_ID_PREFIX
from htmlgraph_nb.core.ids import call_key, shorten_id
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.ingest.processes.process_events import process_start
from htmlgraph_nb.ingest.processes.process_ids import ProcessId

from .persona_calls import CallStep, CallSteps, ShownCall
from .persona_names import JUPYTER_AI, PersonaName, name_persona, persona_class
from .persona_usage import Context, UsageCounter, context_of

MAX_PERSONAS = 1_000
"""Maximum number of personas of all open chats that are followed."""
_EVENT_TYPES = {
    "start": "tool_start",
    "ask": "permission_request",
    "allow": "answered",
    "deny": "answered",
    "end": "tool_execute",
    "fail": "tool_error",
}
_CALL_STEPS = {"start": "PreToolUse", "end": "PostToolUse", "fail": "PostToolUse"}
_ANSWERING = ("start", "allow", "deny")
"""Steps of a call whose events imply that all open questions were answered."""
_MICROSECOND = timedelta(microseconds=1)
_UNKNOWN_CONTEXT = Context()
Known = Callable[[str], AgentPresence | None]
"""Returns the presence of an agent; None: it is unknown."""


class ChatPlace(NamedTuple):
    """A chat at one moment.

    Attributes:
        chat_id: its stable id.
        path: path of its file below the folder of the Jupyter Server, with slashes.
        folder: full path of the folder of that file.
        sessions: id of a persona → the id of its session in the Agent Client Protocol.
    """

    chat_id: str
    path: str
    folder: str
    sessions: Mapping[str, Any]


@dataclass(slots=True)
class _Persona:
    """One persona in one chat.

    Attributes:
        acp_session: id of its session in the Agent Client Protocol; None: it has none.
        settles: whether it is not known yet if the agent's own sources report it.
        is_shown: whether its agent has been reported.
        works: whether a turn is running; ended_at: end of the last one; None: there was none.
        model, context: the latest values; ``reported`` are those that events have.
    """

    name: PersonaName
    class_name: str
    place: ChatPlace
    acp_session: object
    settles: bool
    usage: UsageCounter
    steps: CallSteps = field(default_factory=CallSteps)
    is_shown: bool = False
    works: bool = False
    ended_at: datetime | None = None
    model: str | None = None
    context: Context = _UNKNOWN_CONTEXT
    reported: tuple[str | None, Context] = (None, _UNKNOWN_CONTEXT)


def is_in_use(place: ChatPlace, persona_id: str, state: Mapping[str, Any]) -> bool:
    """Return whether a published state concerns a persona that somebody uses.

    Jupyter AI publishes the states of all installed personas for each open chat.
    """
    if state.get("processing") is True:
        return True
    if not isinstance(place.sessions.get(persona_id), str):
        return False
    # The chat's file names sessions of earlier days, too.
    model, usage = mapping(state.get("model")), mapping(state.get("usage"))
    published = (model.get("options"), state.get("settings"), state.get("slash_commands"))
    return any(published) or any(value is not None for value in usage.values())


class PersonaTracker:
    """The personas that work in the chats of one Jupyter Server.

    Args:
        titles: whether the name of a chat is the title of its agents.
        host: name of the machine; None: unknown.
        user: name of the account; None: unknown.
        process: the process of the Jupyter Server, in which personas run; None: unknown.
    """

    def __init__(
        self,
        *,
        titles: bool = True,
        host: str | None = None,
        user: str | None = None,
        process: ProcessId | None = None,
    ) -> None:
        self._titles, self._host, self._user, self._process = titles, host, user, process
        self._personas: dict[tuple[str, str], _Persona] = {}
        # Classes of personas of which one has failed; its turn is the next to end.
        self._failed: set[str] = set()

    def on_state(
        self,
        place: ChatPlace,
        persona_id: str,
        state: Mapping[str, Any],
        now: datetime,
        known: Known,
    ) -> list[Event]:
        """Return the events that follow from a state that a persona has published.

        Args:
            state: the fields of ``persona_state`` that changed, or all.
            now: when it was published, UTC.
        """
        persona, events = self._enter(place, persona_id, now, known)
        if persona is None:
            return events
        model = mapping(state.get("model")).get("current")
        if model is not None and model != "default":
            persona.model = safe_keyword(model)
        if usage := mapping(state.get("usage")):
            persona.usage.report(usage)
            before, after = persona.context, context_of(usage)
            persona.context = Context(after.tokens or before.tokens, after.window or before.window)
        processing = state.get("processing")
        if not persona.is_shown:
            # Jupyter AI starts an agent for each chat that is opened, which is often only read.
            if processing is not True and known(persona.name.agent_id) is None:
                return events
            events += self._show(persona, now)
        if processing is True and not persona.works:
            events += self._begin_turn(persona, now, known)
        own = self._reports_itself(persona, known)
        if own is False and persona.reported != (persona.model, persona.context):
            events.append(self._event(persona, "session_info", now, **_facts_of(persona)))
        if processing is False and persona.works:
            events.append(self._end_turn(persona, now))
        return events

    def on_calls(
        self,
        place: ChatPlace,
        persona_id: str,
        calls: list[ShownCall],
        now: datetime,
        known: Known,
    ) -> list[Event]:
        """Return the events that follow from the tool calls in a message of a persona."""
        persona = self._personas.get((place.chat_id, persona_id))
        if persona is None or not persona.works:
            return []
        own = self._reports_itself(persona, known)
        steps = [
            step
            for step in persona.steps.update(calls, now)
            if step.step not in _CALL_STEPS or own is False
        ]
        pending = persona.steps.pending
        last = [step.step for step in steps if step.step in _ANSWERING or step.step == "ask"]
        if pending is not None and last and last[-1] in _ANSWERING:
            # The start of another call, or its permission, would count as the answer.
            steps.append(CallStep("ask", pending))
        return [self._call_event(persona, step, now) for step in steps]

    def on_failure(self, class_name: str) -> None:
        """Note that the turn of a persona of this class ended with an error.

        It is published before the end of the turn, but does not name the chat.
        """
        if any(one.works and one.class_name == class_name for one in self._personas.values()):
            self._failed.add(class_name)

    def on_new_process(self, class_name: str) -> None:
        """Note that the personas of this class have a new agent process."""
        for persona in self._personas.values():
            if persona.class_name == class_name:
                persona.usage.restart()

    def settle(
        self, chat_id: str, persona_id: str, now: datetime, known: Known, *, final: bool
    ) -> list[Event]:
        """Return the completion of a turn, some time after its end, and what depends on it.

        The last usage of a turn is often published after its end.

        Args:
            final: whether the agent's own sources have had time to report the turn.
        """
        persona = self._personas.get((chat_id, persona_id))
        if persona is None or persona.works:
            return []
        events: list[Event] = []
        if final and persona.settles:
            persona.settles = False
            if self._reports_itself(persona, known) is False:
                events += self._start_process(persona, now)
        return [*events, *self._completion(persona, now, known)]

    def on_closed(self, chat_id: str, now: datetime, known: Known) -> list[Event]:
        """Return the ends of the personas of a chat that was closed or deleted."""
        keys = [key for key in self._personas if key[0] == chat_id]
        return self._ends([self._personas.pop(key) for key in keys], now, known)

    def on_shutdown(self, now: datetime, known: Known) -> list[Event]:
        """Return the ends of all personas, as they end with the Jupyter Server."""
        personas, self._personas = self._personas, {}
        return self._ends(personas.values(), now, known)

    def _enter(
        self, place: ChatPlace, persona_id: str, now: datetime, known: Known
    ) -> tuple[_Persona | None, list[Event]]:
        """Return the persona; a new one, or one with another session, with its first events."""
        key = place.chat_id, persona_id
        persona, events = self._personas.get(key), list[Event]()
        session = place.sessions.get(persona_id)
        if persona is not None and session not in (None, persona.acp_session):
            events += self._ends([self._personas.pop(key)], now, known)
            persona = None
        if persona is not None:
            persona.place = place
            return persona, events
        if len(self._personas) >= MAX_PERSONAS:
            return None, events
        name = name_persona(place.chat_id, persona_id, session)
        before = known(name.agent_id)
        is_same = before is not None and before.session_id == name.session_id
        usage = UsageCounter(
            before.session_tokens if before is not None and is_same else 0,
            (before.session_cost_usd or 0.0) if before is not None and is_same else 0.0,
        )
        persona = self._personas[key] = _Persona(
            name, persona_class(persona_id), place, session, name.kind in AGENTS, usage
        )
        return persona, events

    def _show(self, persona: _Persona, now: datetime) -> list[Event]:
        persona.is_shown = True
        start = self._event(persona, "session_start", now, **self._labels(persona))
        return [start] if persona.settles else [start, *self._start_process(persona, now)]

    def _start_process(self, persona: _Persona, now: datetime) -> list[Event]:
        """Return the event that the agent runs as long as the Jupyter Server does."""
        if self._process is None:
            return []
        name = persona.name
        presence = AgentPresence(
            name.agent_id, session_id=name.session_id, seq=to_micros(now), last_activity=now
        )
        return [process_start(presence, self._process, now, again=True)]

    def _reports_itself(self, persona: _Persona, known: Known) -> bool | None:
        """Return whether the agent's own hooks or session files report it; None: not known yet."""
        if persona.name.kind not in AGENTS:
            return False
        presence = known(persona.name.agent_id)
        if presence is not None and presence.hooks is not None:
            return True
        return None if persona.settles else False

    def _begin_turn(self, persona: _Persona, now: datetime, known: Known) -> list[Event]:
        events = self._completion(persona, now, known)
        persona.works = True
        persona.steps.clear()
        events.append(self._event(persona, "prompt", now, **self._labels(persona)))
        if self._reports_itself(persona, known) is False:
            # However long it is silent, it works until the turn ends.
            events.append(self._event(persona, "process_busy", now))
        return events

    def _end_turn(self, persona: _Persona, now: datetime) -> Event:
        persona.works, persona.ended_at = False, now
        kind = "error" if persona.class_name in self._failed else "stop"
        self._failed.discard(persona.class_name)
        return self._event(persona, kind, now)

    def _completion(self, persona: _Persona, now: datetime, known: Known) -> list[Event]:
        """Return the tokens and cost since the last completion, unless other sources count them."""
        own = self._reports_itself(persona, known)
        added = {} if own is None else persona.usage.take()
        if own is not False or not added:
            return []
        # After the turn it would start another one.
        ended = persona.ended_at
        at = now if persona.works or ended is None else ended - _MICROSECOND
        # Of an agent whose own sources may report later, either they count or this does.
        prefix = METRIC_ID_PREFIX if persona.name.kind in AGENTS else ""
        key = f"{prefix}{JUPYTER_AI}:{persona.name.session_id}:{to_micros(now)}"
        fields = {**_facts_of(persona), **added, "event_id": shorten_id(key)}
        return [self._event(persona, "completion", at, **fields)]

    def _call_event(self, persona: _Persona, step: CallStep, now: datetime) -> Event:
        call, session = step.call, persona.name.session_id
        fields: dict[str, Any] = {"tool_name": call.kind or "tool", "duration_ms": step.duration_ms}
        if step.step != "allow":
            # With the id of a call, "answered" means that it was denied.
            fields["tool_use_id"] = call.call_id
        if step.step in _CALL_STEPS:
            fields["event_id"] = call_key(session, call.call_id, _CALL_STEPS[step.step])
        if step.step in ("end", "fail"):
            fields["status"] = "ok" if step.step == "end" else "error"
        return self._event(persona, _EVENT_TYPES[step.step], now, **fields)

    def _labels(self, persona: _Persona) -> dict[str, Any]:
        place, labels = persona.place, dict[str, Any]()
        cwd = string(place.folder)
        title = string(splitext(basename(place.path))[0]) if self._titles else None
        if title is not None and persona.name.kind in AGENTS:
            # The agent's own title of the session says more.
            labels["extra"] = {"title_default": True}
        return {
            **labels,
            "title": title,
            "cwd": cwd,
            "project": project_name(cwd),
            "host": self._host,
            "user": self._user,
        }

    def _ends(self, personas: Iterable[_Persona], now: datetime, known: Known) -> list[Event]:
        events: list[Event] = []
        for persona in personas:
            if persona.is_shown:
                persona.settles = False
                events += self._completion(persona, now, known)
                events.append(self._event(persona, "session_end", now))
        return events

    def _event(self, persona: _Persona, event_type: str, now: datetime, **fields: Any) -> Event:
        name = persona.name
        return Event(
            agent_id=name.agent_id,
            event_type=event_type,
            timestamp=now,
            session_id=name.session_id,
            source=JUPYTER_AI,
            agent_kind=name.kind,
            **fields,
        )


def _facts_of(persona: _Persona) -> dict[str, Any]:
    """Return model and context as fields of an event that reports them."""
    persona.reported = persona.model, persona.context
    return {
        "model": persona.model,
        "context_tokens": persona.context.tokens,
        "context_window": persona.context.window,
    }
