"""Recorded sessions of coding agents: what is in a recording, and what has to be filled in.

A recording is a folder with ``transcript.jsonl``, the agent's own session file (several of them one
after the other where the recording held several sessions), and ``events.jsonl``, what a monitor
that watched it wrote down: when the file grew to which size, which hooks fired (their names), which
process ran the session and when it exited. Its verdicts (``state_transition``) are not used.

What the recording leaves out is filled in as follows, and nothing else is:

* A hook's input is the least that Claude Code's documentation promises. Its tool is the one whose
  call or result the session file shows at that time; where it shows none, the hook fired in a
  subagent. Who asked for a compaction is what the session file says.
* A process that was seen counts as what the agent's hooks would have told then: that the session
  began which the process was found to run, and, where it went over to another session, that the
  one before had ended.
* The file of a subagent that was not kept grows by lines which say no more than that it works.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from htmlgraph_nb.coding_agents.fields import timestamp
from htmlgraph_nb.core.ids import agent_id_of

ADAPTERS = {"claude-code": "claude", "codex": "codex", "gemini-cli": "gemini"}
_SLACK = timedelta(seconds=1)
"""By how much the session file and a hook can date the same call differently."""


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
            event["at"] = timestamp(event["ts"])
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
        for session in self.sessions.values():
            session.parent = self._folder_of(session)
        for event in self.events:
            if event["kind"] == "parent_linked" and event["session_id"] in self.sessions:
                parent = event.get("parent_session_id")
                self.sessions[event["session_id"]].parent = parent or event["session_id"]

    def _folder_of(self, child: Session) -> str | None:
        """Return the session in whose folder a file is: that of a subagent is in its parent's."""
        folders = Path(child.path).parts[:-1]
        return next((name for name in self.sessions if name in folders), None)

    def _share_out(self, transcript: bytes) -> None:
        """Find which part of the transcript is whose file."""
        offset = 0
        for session in self.sessions.values():
            part = transcript[offset : offset + session.size]
            # Gemini CLI names a file by the begin of the session's id.
            own = session.name[-8:] if session.agent == "gemini" else session.session_id
            key = own.encode()
            if session.path and session.size and len(part) == session.size and key in part:
                session.content = part
                offset += session.size
        kept = [session for session in self.sessions.values() if session.path]
        if not offset and len(kept) == 1:
            # What was written down of its size does not fit, but whose it is is certain.
            kept[0].content = transcript

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


def stand_in(session: Session, recording: Recording, now: datetime, first: bool) -> bytes:
    """Return a line of a subagent's file which says no more than that it works."""
    at = now.isoformat().replace("+00:00", "Z")
    parent = recording.sessions.get(session.parent or "")
    parent_id = parent.session_id if parent else session.parent
    records: list[dict[str, Any]] = []
    if session.agent == "claude":
        child = {"isSidechain": True, "agentId": session.name.removeprefix("agent-")}
        told = {
            "type": "user" if first else "assistant",
            "message": {"content": "-" if first else []},
        }
        records = [{**told, **child, "sessionId": parent_id, "timestamp": at}]
    elif session.agent == "codex":
        spawn = {"subagent": {"thread_spawn": {"parent_thread_id": parent_id}}}
        meta = {"id": session.session_id, "source": spawn}
        told = {"type": "event_msg", "payload": {"type": "user_message"}}
        records = [{"type": "session_meta", "payload": meta}] if first else []
        records = [{**record, "timestamp": at} for record in (*records, told)]
    else:
        head = {"sessionId": session.session_id, "startTime": at, "projectHash": ""}
        told = {"id": at, "timestamp": at, "type": "user", "content": "-"}
        records = [head, told] if first else [told]
    lines = (json.dumps(record, separators=(",", ":")) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


def hook_input(session: Session, recording: Recording, hook: str, now: datetime) -> dict[str, Any]:
    """Return the least that the input of a hook must have held."""
    payload: dict[str, Any] = {"hook_event_name": hook, "session_id": session.session_id}
    if hook in ("PreCompact", "PostCompact"):
        manual = b'"compactMetadata":{"trigger":"manual"' in (session.content or b"")
        return {**payload, "trigger": "manual" if manual else "auto"}
    if hook not in ("PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest"):
        return payload
    calls = _calls(session.content or b"")
    if hook.startswith("PostToolUse"):
        ended = [(abs(call.end - now), call) for call in calls if call.end is not None]
        fits = [found for found in ended if found[0] <= _SLACK]
        call = min(fits, key=lambda found: found[0])[1] if fits else None
    else:
        open_calls = [one for one in calls if one.begin <= now + _SLACK]
        open_calls = [one for one in open_calls if one.end is None or one.end >= now - _SLACK]
        call = open_calls[-1] if open_calls else None
    if call is not None:
        about = {} if hook == "PermissionRequest" else {"tool_use_id": call.key}
        return {**payload, "tool_name": call.name, **about}
    children = [one for one in recording.sessions.values() if one.parent == session.name]
    if children:
        payload["agent_id"] = children[0].name.removeprefix("agent-")
    return {**payload, "tool_name": "Bash"}


@dataclass
class _Call:
    """A tool call that a session file shows."""

    key: str
    name: str
    begin: datetime
    end: datetime | None = None


def _calls(content: bytes) -> list[_Call]:
    found: dict[str, _Call] = {}
    for line in content.splitlines():
        record = json.loads(line)
        at = timestamp(record.get("timestamp"))
        blocks = (record.get("message") or {}).get("content")
        for block in blocks if at is not None and isinstance(blocks, list) else ():
            if block.get("type") == "tool_use":
                found.setdefault(block["id"], _Call(block["id"], block["name"], at))
            elif block.get("type") == "tool_result" and block["tool_use_id"] in found:
                found[block["tool_use_id"]].end = at
    return list(found.values())
