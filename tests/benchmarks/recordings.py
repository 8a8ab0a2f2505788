"""Recorded sessions of coding agents: their format, and what is filled in.

A recording is a folder with ``transcript.jsonl``, the agent's own session file (concatenated files
if the recording has several sessions), and ``events.jsonl``, the log of a monitor that watched it:
when the file grew to which size, the names of the hooks that fired, which process ran the session
and when it exited. The monitor's own decisions (``state_transition``) are not used.

Only this is filled in where the recording has no data:

* A hook's input is the minimum that Claude Code's documentation guarantees. Its tool is that of the
  call or result in the session file at that time; without one, the hook fired in a subagent. The
  trigger of a compaction is taken from the session file.
* A process counts as the hook events that it implies: the start of the session that the process
  runs and, if it switched to another session, the end of the previous one.
* The missing file of a subagent grows by lines that only show that it is working.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from htmlgraph_nb.coding_agents.fields import timestamp
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.ids import agent_id_of

ADAPTERS = {
    "claude-code": "claude",
    "codex": "codex",
    "gemini-cli": "gemini",
    "mistral-vibe": "vibe",
    "opencode": "opencode",
    "pi": "pi",
    "copilot": "copilot",
    "kiro-cli": "kiro",
}
_SLACK = timedelta(seconds=1)
"""Largest difference between the timestamps of a call in the session file and its hook."""
_FIRST_SESSION = timedelta(seconds=5)
"""Longest time from the start of a process to that of the session that it starts with."""


@dataclass
class Session:
    """One session of a recording.

    Attributes:
        name: name that the monitor gave it.
        agent: one of the values of ADAPTERS.
        path: path of its file; "" if it had none.
        size: size of its file in bytes.
        content: content of its file; None if it was not kept.
        parent: name of the session whose subagent it is; None for a main session.
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
        if self.agent == "pi":
            return self.name.rpartition("_")[2]
        return self.name[-36:] if self.name.startswith("rollout-") else self.name

    @property
    def started_at(self) -> datetime | None:
        """When it started, if its name says so: that of a folder of Mistral Vibe."""
        try:
            return datetime.strptime(self.name[-24:-9], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None

    @property
    def agent_id(self) -> str:
        """Id of the session's agent."""
        return agent_id_of(self.session_id.removeprefix("agent-"), self.agent)


@dataclass
class Recording:
    """A recorded scenario."""

    folder: Path
    events: list[dict[str, Any]]
    sessions: dict[str, Session] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)

    @property
    def agent(self) -> str:
        """Agent of the recording, the name of the parent folder."""
        return self.folder.parent.name

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read a recording."""
        lines = (folder / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.strip()]
        for event in events:
            event["at"] = timestamp(event["ts"])
        recording = cls(folder, sorted(events, key=lambda event: (event["at"], event["seq"])))
        recording._find_sessions()
        recording._split_transcript((folder / "transcript.jsonl").read_bytes())
        recording._find_processes()
        return recording

    def hook_payload(self, session: Session, event: dict[str, Any], now: datetime) -> Any:
        """Return the input of a recorded hook."""
        return hook_input(session, self, event["hook_name"], now)

    def lines_of_subagent(self, session: Session, now: datetime, first: bool) -> bytes:
        """Return a line of a subagent's file that was not kept."""
        return stand_in(session, self, now, first)

    def _find_sessions(self) -> None:
        for event in self.events:
            name, adapter = event.get("session_id"), ADAPTERS.get(event.get("adapter", ""))
            if name is None or (name not in self.sessions and adapter is None):
                continue
            session = self.sessions.setdefault(name, Session(name, adapter or "claude"))
            # The path in a recording of OpenCode is that of its database.
            is_stored = AGENTS[session.agent].has_databases
            session.path = "" if is_stored else event.get("transcript_path") or session.path
            session.size = max(session.size, event.get("file_size") or 0)
        for session in self.sessions.values():
            session.parent = self._parent_by_folder(session)
        for event in self.events:
            if event["kind"] == "parent_linked" and event["session_id"] in self.sessions:
                parent = event.get("parent_session_id")
                self.sessions[event["session_id"]].parent = parent or event["session_id"]

    def _parent_by_folder(self, child: Session) -> str | None:
        """Return the parent of a subagent: its file lies in a folder named after the parent."""
        folders = Path(child.path).parts[:-1]
        others = (name for name in self.sessions if name != child.name)
        return next((name for name in others if name in folders), None)

    def _split_transcript(self, transcript: bytes) -> None:
        """Assign the parts of the transcript to the sessions."""
        if b'"type":"session.start"' in transcript:
            self._split_at_starts(transcript)
            return
        offset = 0
        for session in self.sessions.values():
            part = transcript[offset : offset + session.size]
            # Gemini CLI names a file after the start of the session id. The lines of Kiro CLI
            # and of Mistral Vibe name no session.
            name = session.name[-8:] if session.agent == "gemini" else session.session_id
            key = b"" if session.agent in ("vibe", "kiro") else name.encode()
            if session.path and session.size and len(part) == session.size and key in part:
                session.content = part
                offset += session.size
        kept = [session for session in self.sessions.values() if session.path]
        if not offset and len(kept) == 1:
            # The recorded size does not match, but there is only one session.
            kept[0].content = transcript

    def _split_at_starts(self, transcript: bytes) -> None:
        """Assign the parts of a transcript of Copilot CLI, in which each session names itself."""
        session = None
        for line in transcript.splitlines(keepends=True):
            if b'"type":"session.start"' in line:
                named = (each for name, each in self.sessions.items() if name.encode() in line)
                session = next(named, None)
            if session is not None:
                session.content = (session.content or b"") + line

    def _find_processes(self) -> None:
        """Find the session of each process that was seen before its session."""
        runs: dict[int, str] = {}
        for event in self.events:
            name = event.get("session_id", "")
            if event["kind"] == "pid_discovered" and not name.startswith("proc-"):
                session = self.sessions.get(name)
                if session is not None and session.parent is None:
                    runs.setdefault(event["pid"], name)
        seen: dict[str, datetime] = {}
        for event in self.events:
            seen.setdefault(event.get("session_id", ""), event["at"])
        for name in self.sessions:
            if name.startswith("proc-"):
                first = runs.get(int(name.removeprefix("proc-")), name)
                started_at = self.sessions[first].started_at
                # A session that began later is not the one that the process started with.
                is_later = started_at is not None and started_at > seen[name] + _FIRST_SESSION
                self.processes[name] = name if is_later else first


def stand_in(session: Session, recording: Recording, now: datetime, first: bool) -> bytes:
    """Return a line of a subagent's file that only shows that it is working."""
    at = now.isoformat().replace("+00:00", "Z")
    parent = recording.sessions.get(session.parent or "")
    parent_id = parent.session_id if parent else session.parent
    records: list[dict[str, Any]] = []
    if session.agent == "claude":
        child = {"isSidechain": True, "agentId": session.name.removeprefix("agent-")}
        line = {
            "type": "user" if first else "assistant",
            "message": {"content": "-" if first else []},
        }
        records = [{**line, **child, "sessionId": parent_id, "timestamp": at}]
    elif session.agent == "codex":
        spawn = {"subagent": {"thread_spawn": {"parent_thread_id": parent_id}}}
        meta = {"id": session.session_id, "source": spawn}
        line = {"type": "event_msg", "payload": {"type": "user_message"}}
        records = [{"type": "session_meta", "payload": meta}] if first else []
        records = [{**record, "timestamp": at} for record in (*records, line)]
    else:
        head = {"sessionId": session.session_id, "startTime": at, "projectHash": ""}
        line = {"id": at, "timestamp": at, "type": "user", "content": "-"}
        records = [head, line] if first else [line]
    lines = (json.dumps(record, separators=(",", ":")) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


def hook_input(session: Session, recording: Recording, hook: str, now: datetime) -> dict[str, Any]:
    """Return the minimum input that a hook must have had."""
    payload: dict[str, Any] = {"hook_event_name": hook, "session_id": session.session_id}
    if hook in ("PreCompact", "PostCompact"):
        manual = b'"compactMetadata":{"trigger":"manual"' in (session.content or b"")
        return {**payload, "trigger": "manual" if manual else "auto"}
    if hook not in ("PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest"):
        return payload
    calls = _calls(session.content or b"")
    if hook.startswith("PostToolUse"):
        ended = [(abs(call.end - now), call) for call in calls if call.end is not None]
        fits = [pair for pair in ended if pair[0] <= _SLACK]
        call = min(fits, key=lambda pair: pair[0])[1] if fits else None
    else:
        open_calls = [call for call in calls if call.start <= now + _SLACK]
        open_calls = [call for call in open_calls if call.end is None or call.end >= now - _SLACK]
        call = open_calls[-1] if open_calls else None
    if call is not None:
        ids = {} if hook == "PermissionRequest" else {"tool_use_id": call.key}
        return {**payload, "tool_name": call.name, **ids}
    children = [child for child in recording.sessions.values() if child.parent == session.name]
    if children:
        payload["agent_id"] = children[0].name.removeprefix("agent-")
    return {**payload, "tool_name": "Bash"}


@dataclass
class _Call:
    """A tool call in a session file."""

    key: str
    name: str
    start: datetime
    end: datetime | None = None


def _calls(content: bytes) -> list[_Call]:
    calls: dict[str, _Call] = {}
    for line in content.splitlines():
        record = json.loads(line)
        at = timestamp(record.get("timestamp"))
        blocks = (record.get("message") or {}).get("content")
        for block in blocks if at is not None and isinstance(blocks, list) else ():
            if block.get("type") == "tool_use":
                calls.setdefault(block["id"], _Call(block["id"], block["name"], at))
            elif block.get("type") == "tool_result" and block["tool_use_id"] in calls:
                calls[block["tool_use_id"]].end = at
    return list(calls.values())
