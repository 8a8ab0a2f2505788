"""Recorded sessions of coding agents, replayed at their recorded times on a simulated clock.

A recording is a folder with ``transcript.jsonl``, the agent's own session file (several of them one
after the other where the recording held several sessions), and ``events.jsonl``, what a monitor
that watched it wrote down: when the file grew to which size, which hooks fired (their names), which
process ran the session and when it exited. Its verdicts (``state_transition``) are not used.

What the recording leaves out is filled in as follows, and nothing else is:

* A hook's input is the least that Claude Code's documentation promises. Its tool is the one whose
  call or result the session file shows at that time; where it shows none, the hook fired in a
  subagent.
* A process that was seen counts as the session start that its SessionStart hook, or the agent's own
  status file, would have told; it belongs to the session that it was found to run. Where a process
  goes over to another session, the one before has ended.
* The file of a subagent that was not kept grows by lines which say no more than that it works.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from htmlgraph_nb.connectors import claude, codex, gemini
from htmlgraph_nb.connectors.fields import moment
from htmlgraph_nb.connectors.hooks import agent_id_of
from htmlgraph_nb.model import AgentPresence, Event
from htmlgraph_nb.roster import Roster
from htmlgraph_nb.session_files.files import SessionFile, SessionTail

HOOKS = {"claude": claude, "codex": codex, "gemini": gemini}
ADAPTERS = {"claude-code": "claude", "codex": "codex", "gemini-cli": "gemini"}
TICK_S = 1.0
TAIL_S = 5.0
"""How long the clock goes on after the last recorded event."""
_TOOL_SLACK = timedelta(seconds=1)
_PLACE_DEPTH = 4


@dataclass
class Session:
    """One session of a recording; ``name`` is what the monitor called it.

    Attributes:
        agent: "claude", "codex" or "gemini".
        path: of its file, as far as it says anything; "": it had none.
        size: of its file in bytes, and ``content`` what it held; None: it was not kept.
        parent: name of the session whose subagent it is.
    """

    name: str
    agent: str
    path: str = ""
    size: int = 0
    content: bytes | None = None
    parent: str | None = None

    @property
    def session_id(self) -> str:
        """The agent's own id of the session."""
        head = self.content[:4096] if self.content else b""
        if self.agent == "gemini" and b'"sessionId":"' in head:
            return head.split(b'"sessionId":"', 1)[1].split(b'"', 1)[0].decode()
        return self.name[-36:] if self.name.startswith("rollout-") else self.name

    @property
    def agent_id(self) -> str:
        """What the session's agent is called."""
        return agent_id_of(self.session_id.removeprefix("agent-"), self.agent)


@dataclass
class Recording:
    """What was recorded of one scenario."""

    folder: Path
    events: list[dict[str, Any]]
    sessions: dict[str, Session] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)

    @property
    def agent(self) -> str:
        """Name of the folder of the agent's recordings."""
        return self.folder.parent.name

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read a recording."""
        lines = (folder / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.strip()]
        for event in events:
            event["at"] = moment(event["ts"])
        found = cls(folder, sorted(events, key=lambda event: (event["at"], event["seq"])))
        found._find_sessions()
        found._share_out((folder / "transcript.jsonl").read_bytes())
        found._find_processes()
        return found

    def _find_sessions(self) -> None:
        for event in self.events:
            name, adapter = event.get("session_id"), ADAPTERS.get(event.get("adapter", ""))
            if name is None or (name not in self.sessions and adapter is None):
                continue
            session = self.sessions.setdefault(name, Session(name, adapter or "claude"))
            session.path = event.get("transcript_path") or session.path
            session.size = max(session.size, event.get("file_size") or 0)
        for event in self.events:
            if event["kind"] == "parent_linked" and event["session_id"] in self.sessions:
                parent = event.get("parent_session_id")
                if parent is None:
                    parent = self._folder_of(event["session_id"])
                self.sessions[event["session_id"]].parent = parent

    def _folder_of(self, child: str) -> str | None:
        parts = Path(self.sessions[child].path).parts
        return next((name for name in self.sessions if name in parts), None)

    def _share_out(self, transcript: bytes) -> None:
        """Find which part of the transcript is whose file."""
        offset = 0
        for session in self.sessions.values():
            part = transcript[offset : offset + session.size]
            key = (
                session.session_id.encode()
                if session.agent != "gemini"
                else session.name[-8:].encode()
            )
            if session.path and session.size and len(part) == session.size and key in part:
                session.content = part
                offset += session.size

    def _find_processes(self) -> None:
        """Find which session a process, that was seen before its session, came to run."""
        runs: dict[int, str] = {}
        for event in self.events:
            name = event.get("session_id", "")
            if event["kind"] == "pid_discovered" and not name.startswith("proc-"):
                session = self.sessions.get(name)
                if session is not None and session.parent is None:
                    runs.setdefault(event["pid"], name)
        for name in self.sessions:
            if name.startswith("proc-"):
                self.processes[name] = runs.get(int(name.removeprefix("proc-")), name)


@dataclass(frozen=True)
class Seen:
    """What our monitor showed of one agent from a moment on.

    Attributes:
        name: what the recording's monitor called the agent's session then.
        cause: type of the event that changed it; "": only the name did.
    """

    at: datetime
    name: str
    presence: AgentPresence
    cause: str = ""

    @property
    def agent_id(self) -> str:
        """Whose it is."""
        return self.presence.agent_id


class Replay:
    """Replays one recording through the connectors, the tail of session files and the Roster.

    Attributes:
        seen: each change of what was shown, in order.
        fed: each event that was fed, and when.
    """

    def __init__(self, recording: Recording, folder: Path) -> None:
        self._recording = recording
        self._folder = folder
        self._roster = Roster()
        self._tails: dict[str, SessionTail] = {}
        self._grown: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._runs: dict[int, Session] = {}
        self._known: set[str] = set()
        self._agenda: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._n_planned = 0
        self._seq = 0
        self._shown: dict[str, Seen] = {}
        self.seen: list[Seen] = []
        self.fed: list[tuple[datetime, Event]] = []
        self.end = recording.events[-1]["at"] + timedelta(seconds=TAIL_S)

    def run(self) -> None:
        """Replay all of it."""
        start = self._recording.events[0]["at"]
        for event in self._recording.events:
            take = _TAKERS.get(event["kind"])
            if take is not None:
                self._plan(event["at"], lambda now, take=take, event=event: take(self, event, now))
        for n in range(int((self.end - start).total_seconds() / TICK_S)):
            self._plan(start + timedelta(seconds=n * TICK_S), self._tick)
        while self._agenda:
            at, _, act = heapq.heappop(self._agenda)
            act(at)

    def _plan(self, at: datetime, act: Callable[[datetime], None]) -> None:
        self._n_planned += 1
        heapq.heappush(self._agenda, (at, self._n_planned, act))

    def _tick(self, now: datetime) -> None:
        for event in self._roster.due(now):
            self._feed([event], now)

    def _feed(self, events: Iterator[Event] | list[Event], now: datetime) -> None:
        for event in events:
            if event.event_id is not None and event.event_id in self._known:
                continue
            self._known.add(event.event_id or "")
            self._seq += 1
            shown = self._roster.apply(event, self._seq, now).presence
            self._roster.commit()
            self.fed.append((now, event))
            if shown is not None:
                self._show(shown, event, now)

    def _show(self, shown: AgentPresence, event: Event | None, now: datetime) -> None:
        """Note what is shown from now on, if it differs from what was."""
        name = self._names.get(shown.agent_id, shown.agent_id)
        known = self._shown.get(shown.agent_id)
        if known is not None and name == known.name and not _differs(shown, known.presence):
            return
        seen = Seen(now, name, shown, "" if event is None else event.event_type)
        self._shown[shown.agent_id] = seen
        self.seen.append(seen)

    def _session(self, event: Mapping[str, Any], now: datetime) -> Session | None:
        """Return the session that an event is about, a process standing for what it runs."""
        sessions, name = self._recording.sessions, event.get("session_id", "")
        known = sessions.get(self._recording.processes.get(name, name))
        if known is not None and self._names.get(known.agent_id, name).startswith("proc-"):
            self._names[known.agent_id] = name
            state = self._roster.get(known.agent_id)
            if state is not None:
                self._show(state.presence, None, now)
        return known

    # What the recording's events are evidence of.

    def _process(self, event: Mapping[str, Any], now: datetime) -> None:
        session = self._session(event, now)
        if session is None or session.parent is not None:
            return
        pid = event.get("pid") or int(event["session_id"].removeprefix("proc-"))
        former = self._runs.get(pid)
        if former is not None and former is not session:
            self._about(former, "session_end", now)
        self._runs[pid] = session
        self._about(session, "session_start", now)

    def _exit(self, event: Mapping[str, Any], now: datetime) -> None:
        session = self._session(event, now)
        if session is not None and session.parent is None:
            self._runs.pop(event["pid"], None)
            self._about(session, "process_exit", now)

    def _about(self, session: Session, kind: str, now: datetime) -> None:
        event = Event(
            agent_id=session.agent_id,
            event_type=kind,
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
            self._write(session, _stand_in(session, self._recording, now, first), append=True)
        else:
            return
        tail = self._tails[session.name]
        self._feed(list(tail.read()), now)
        self._plan_settling(session, tail, now)

    def _plan_settling(self, session: Session, tail: SessionTail, grown_at: datetime) -> None:
        size = self._grown[session.name]
        for quiet_s in tail.quiets:

            def settle(now: datetime, quiet_s: float = quiet_s) -> None:
                if self._grown[session.name] == size:
                    self._feed(tail.settle(quiet_s), now)

            at = grown_at + timedelta(seconds=quiet_s)
            if at <= self.end:
                self._plan(at, settle)

    def _write(self, session: Session, content: bytes, append: bool = False) -> None:
        place = Path(*Path(session.path).parts[-_PLACE_DEPTH:])
        path = self._folder / place
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
        payload = _hook_input(session, self._recording, event["hook_name"], now)
        self._feed(HOOKS[session.agent].events_from_hook(payload, received_at=now), now)


_TAKERS: dict[str, Callable[[Replay, Mapping[str, Any], datetime], None]] = {
    "transcript_new": Replay._growth,
    "transcript_activity": Replay._growth,
    "hook_received": Replay._hook,
    "presession_created": Replay._process,
    "pid_discovered": Replay._process,
    "process_exited": Replay._exit,
}


def _differs(a: AgentPresence, b: AgentPresence) -> bool:
    return (a.status, a.attention, a.detail) != (b.status, b.attention, b.detail)


def _stand_in(session: Session, recording: Recording, now: datetime, first: bool) -> bytes:
    """Return a line of a subagent's file which says no more than that it works."""
    parent = recording.sessions.get(session.parent or "")
    record = {
        "type": "user" if first else "assistant",
        "isSidechain": True,
        "agentId": session.name.removeprefix("agent-"),
        "sessionId": parent.session_id if parent else session.parent,
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "message": {"content": "-" if first else []},
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _hook_input(session: Session, recording: Recording, hook: str, now: datetime) -> dict[str, Any]:
    payload: dict[str, Any] = {"hook_event_name": hook, "session_id": session.session_id}
    if hook not in ("PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest"):
        return payload
    call = _call_at(session.content or b"", hook, now)
    if call is not None:
        return {**payload, **call}
    children = [s for s in recording.sessions.values() if s.parent == session.name]
    if children:
        payload["agent_id"] = children[0].name.removeprefix("agent-")
    return {**payload, "tool_name": "Bash"}


def _call_at(content: bytes, hook: str, now: datetime) -> dict[str, Any] | None:
    """Return the tool call of a session file that a hook at this time is about."""
    names: dict[str, str] = {}
    ends = hook.startswith("PostToolUse")
    best: tuple[timedelta, str] | None = None
    for line in content.splitlines():
        record = json.loads(line)
        at = moment(record.get("timestamp"))
        blocks = (record.get("message") or {}).get("content")
        for block in blocks if isinstance(blocks, list) and at else ():
            call = block.get("id") or block.get("tool_use_id")
            if block.get("type") == "tool_use":
                names[call] = block["name"]
            if block.get("type") == ("tool_result" if ends else "tool_use") and at:
                best = min(filter(None, (best, (abs(at - now), call))))
    if best is None or best[0] > _TOOL_SLACK:
        return None
    found = {"tool_name": names.get(best[1], "Bash")}
    return found if hook == "PermissionRequest" else {**found, "tool_use_id": best[1]}
