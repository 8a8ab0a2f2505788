"""Plays a recorded session back at its recorded times on a simulated clock."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..coding_agents.registry import AGENTS
from ..core.explanation import explain
from ..core.model import AgentPresence, Event
from ..core.roster import Roster
from ..ingest.session_files import SessionFile
from ..ingest.session_tail import SessionTail


class PlayedSession(Protocol):
    """One session of a recording.

    Attributes:
        name: its name in the recording.
        agent: name of its kind of agent.
        path: path of its file; "" if it had none.
        size: size of its file in bytes.
        content: content of its file; None if it was not kept.
        parent: name of the session whose subagent it is; None for a main session.
    """

    name: str
    agent: str
    path: str
    size: int
    content: bytes | None
    parent: str | None

    @property
    def session_id(self) -> str:
        """The agent's own id of the session."""

    @property
    def agent_id(self) -> str:
        """Id of the session's agent."""


class PlayedRecording(Protocol):
    """A recording.

    Attributes:
        events: what happened, sorted by ``at``; see ``recording_folder`` for the kinds.
        sessions: its sessions by name.
        processes: name of a session that stands for a process → that of the session that it ran.
    """

    @property
    def events(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def sessions(self) -> Mapping[str, PlayedSession]: ...
    @property
    def processes(self) -> Mapping[str, str]: ...

    def hook_payload(
        self, session: Any, event: Mapping[str, Any], now: datetime
    ) -> Mapping[str, Any]:
        """Return the input of a recorded hook."""

    def lines_of_subagent(self, session: Any, now: datetime, first: bool) -> bytes:
        """Return a line of a subagent's file that was not kept."""


TICK_S = 1.0
TAIL_S = 5.0
"""Seconds that the clock runs after the last recorded event."""
_KEPT_PARTS = 4


@dataclass(frozen=True)
class Seen:
    """What our monitor showed for one agent from ``at`` on.

    Attributes:
        name: name of the session in the recording.
        cause: type of the event that changed the presence; "" if only the name changed.
        rule: the status rule that decided.
    """

    at: datetime
    name: str
    presence: AgentPresence
    cause: str = ""
    rule: str = ""

    @property
    def agent_id(self) -> str:
        """Id of the agent."""
        return self.presence.agent_id


class Replay:
    """Plays one recording through the hook parsers, the session readers and the Roster.

    Attributes:
        seen: each change of what was shown, in order.
        fed: each event that was fed, and when.
        end: end of the playback.
    """

    def __init__(self, recording: PlayedRecording, folder: Path) -> None:
        self._recording = recording
        self._folder = folder
        self._roster = Roster()
        self._tails: dict[str, SessionTail] = {}
        self._grown: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._runs: dict[int, PlayedSession] = {}
        self._event_ids: set[str] = set()
        self._agenda: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._n_planned = 0
        self._seq = 0
        self._shown: dict[str, Seen] = {}
        self.seen: list[Seen] = []
        self.fed: list[tuple[datetime, Event]] = []
        self.end = recording.events[-1]["at"] + timedelta(seconds=TAIL_S)

    def run(self) -> None:
        """Play all events."""
        start = self._recording.events[0]["at"]
        for event in self._recording.events:
            handle = _HANDLERS.get(event["kind"])
            if handle is not None:
                self._plan(event["at"], partial(handle, self, event))
        for n in range(int((self.end - start).total_seconds() / TICK_S)):
            self._plan(start + timedelta(seconds=n * TICK_S), self._tick)
        while self._agenda:
            at, _, act = heapq.heappop(self._agenda)
            act(at)

    def _plan(self, at: datetime, act: Callable[[datetime], None]) -> None:
        self._n_planned += 1
        heapq.heappush(self._agenda, (at, self._n_planned, act))

    def _tick(self, now: datetime) -> None:
        self._feed(self._roster.timers_due(now), now)
        self._feed(self._roster.implied_ends(), now)

    def _feed(self, events: Iterator[Event] | list[Event], now: datetime) -> None:
        for event in events:
            if event.event_id is not None and event.event_id in self._event_ids:
                continue
            self._event_ids.add(event.event_id or "")
            self._seq += 1
            shown = self._roster.apply(event, self._seq, now).presence
            self._roster.commit()
            self.fed.append((now, event))
            if shown is not None:
                self._show(shown, event, now)

    def _show(self, shown: AgentPresence, event: Event | None, now: datetime) -> None:
        """Record the presence shown from now on, if it differs from the last."""
        name = self._names.get(shown.agent_id, shown.agent_id)
        last = self._shown.get(shown.agent_id)
        if last is not None and name == last.name and not _differs(shown, last.presence):
            return
        state = self._roster.agents[shown.agent_id]
        rule = explain(state)["rules"][-1]["rule"]
        seen = Seen(now, name, shown, "" if event is None else event.event_type, rule)
        self._shown[shown.agent_id] = seen
        self.seen.append(seen)

    def _session(self, event: Mapping[str, Any], now: datetime) -> PlayedSession | None:
        """Return the session of an event, for an event of a process the session that it runs."""
        sessions, name = self._recording.sessions, event.get("session_id", "")
        session = sessions.get(self._recording.processes.get(name, name))
        if session is not None and self._names.get(session.agent_id, name).startswith("proc-"):
            self._names[session.agent_id] = name
            state = self._roster.get(session.agent_id)
            if state is not None:
                self._show(state.presence, None, now)
        return session

    # One handler per kind of recorded event.

    def _process(self, event: Mapping[str, Any], now: datetime) -> None:
        session = self._session(event, now)
        if session is None or session.parent is not None:
            return
        pid = event.get("pid") or int(event["session_id"].removeprefix("proc-"))
        previous = self._runs.get(pid)
        if previous is not None and previous is not session:
            self._feed_process_event(previous, "session_end", now)
        self._runs[pid] = session
        self._feed_process_event(session, "session_start", now)

    def _exit(self, event: Mapping[str, Any], now: datetime) -> None:
        session = self._session(event, now)
        if session is not None and session.parent is None:
            self._runs.pop(event["pid"], None)
            self._feed_process_event(session, "process_exit", now)

    def _feed_process_event(self, session: PlayedSession, event_type: str, now: datetime) -> None:
        event = Event(
            agent_id=session.agent_id,
            event_type=event_type,
            timestamp=now,
            session_id=session.session_id,
            source="process",
        )
        self._feed([event], now)

    def _growth(self, event: Mapping[str, Any], now: datetime) -> None:
        session, size = self._session(event, now), event.get("file_size") or 0
        if session is None or not session.path or size <= self._grown.get(session.name, -1):
            return
        first = session.name not in self._grown
        self._grown[session.name] = size
        if session.content is not None:
            self._write(session, session.content[:size])
        elif session.parent is not None:
            self._write(
                session, self._recording.lines_of_subagent(session, now, first), append=True
            )
        else:
            return
        tail = self._tails[session.name]
        self._feed(list(tail.read()), now)
        self._plan_settling(session, tail, now)

    def _plan_settling(self, session: PlayedSession, tail: SessionTail, grown_at: datetime) -> None:
        size = self._grown[session.name]
        for quiet_s in tail.quiet_thresholds_s:

            def settle(now: datetime, quiet_s: float = quiet_s) -> None:
                if self._grown[session.name] == size:
                    self._feed(tail.on_quiet(quiet_s), now)

            at = grown_at + timedelta(seconds=quiet_s)
            if at <= self.end:
                self._plan(at, settle)

    def _write(self, session: PlayedSession, content: bytes, append: bool = False) -> None:
        path = self._folder.joinpath(*Path(session.path).parts[-_KEPT_PARTS:])
        if session.name not in self._tails:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = SessionFile(os.fspath(path), session.agent, 0, 0.0)
            self._tails[session.name] = SessionTail(file)
        with path.open("ab" if append else "wb") as file_:
            file_.write(content)

    def _hook(self, event: Mapping[str, Any], now: datetime) -> None:
        session = self._session(event, now)
        if session is None:
            return
        payload = self._recording.hook_payload(session, event, now)
        self._feed(AGENTS[session.agent].events_from_hook(payload, received_at=now), now)


_HANDLERS: dict[str, Callable[[Replay, Mapping[str, Any], datetime], None]] = {
    "transcript_new": Replay._growth,
    "transcript_activity": Replay._growth,
    "hook_received": Replay._hook,
    "presession_created": Replay._process,
    "pid_discovered": Replay._process,
    "process_exited": Replay._exit,
}


def _differs(a: AgentPresence, b: AgentPresence) -> bool:
    return (a.status, a.attention, a.detail) != (b.status, b.attention, b.detail)
