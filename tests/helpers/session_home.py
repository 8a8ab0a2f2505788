"""A home folder with recorded sessions of the three agents, at chosen ages."""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.helpers.growing_session import json_line, recorded_lines
from tests.helpers.session_lines import PAYLOADS

RECORDED = {
    "claude": PAYLOADS / "claude" / "permission.jsonl",
    "codex": PAYLOADS / "codex" / "rollout-model-switch.jsonl",
    "gemini": PAYLOADS / "gemini" / "shop" / "chats" / "session-task-list.jsonl",
}

_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def recorded_id(agent: str, path: Path) -> bytes:
    """Return the id of the session in a recorded file."""
    for line in path.read_bytes().splitlines():
        record = json.loads(line)
        found = record.get("sessionId") or record.get("payload", {}).get("id")
        if found:
            return str(found).encode()
    raise ValueError(f"{path} of {agent} names no session")


class SessionHome:
    """The home folder of a user; use ``environ`` for the server.

    Args:
        path: the folder, created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        """Variables that make this folder the home."""
        return {"HOME": str(self.path), "USERPROFILE": str(self.path)}

    def file_of(self, agent: str, session: str, folder: str = "-home-user-shop") -> Path:
        """Return the path of the file in which the agent keeps a session."""
        if agent == "claude":
            return self.path / ".claude" / "projects" / folder / f"{session}.jsonl"
        if agent == "codex":
            return self.path / ".codex" / "sessions" / "2026" / "11" / f"rollout-{session}.jsonl"
        return self.path / ".gemini" / "tmp" / "shop" / "chats" / f"session-{session}.jsonl"

    def add(
        self, agent: str, age: timedelta, session: str = "", source: Path | None = None
    ) -> Path:
        """Add a recorded session whose last line was written ``age`` ago; return its file."""
        source = source or RECORDED[agent]
        session = session or str(uuid.uuid4())
        at = datetime.now(UTC) - age
        text = b"".join(recorded_lines(source, at))
        text = text.replace(recorded_id(agent, source), session.encode())
        # The ids of lines, messages and calls are unique, as those of any two sessions.
        space = uuid.uuid5(uuid.NAMESPACE_OID, session)

        def renew(match: re.Match[bytes]) -> bytes:
            known = match[0].decode()
            return (known if known == session else str(uuid.uuid5(space, known))).encode()

        text = _UUID.sub(renew, text)
        for marker in (b"msg_", b"req_", b"toolu_", b"call_"):
            text = text.replace(marker, marker + session[:8].encode())
        return self.write(self.file_of(agent, session), text, at)

    def add_claude(
        self, session: str, age: timedelta, records: list[dict[str, Any]], folder: str = ""
    ) -> Path:
        """Add a session of Claude Code that consists of these records, a second apart."""
        end = datetime.now(UTC) - age
        lines = []
        for number, record in enumerate(records):
            at = end - timedelta(seconds=len(records) - 1 - number)
            head = {
                "sessionId": session,
                "cwd": folder or "/home/user/shop",
                "uuid": f"{session}-{number}",
                "timestamp": at.isoformat(timespec="milliseconds")[:-6] + "Z",
            }
            lines.append(json_line({**head, **record}))
        return self.write(self.file_of("claude", session), b"".join(lines), end)

    def write(self, path: Path, text: bytes, at: datetime) -> Path:
        """Write a file that was last changed at a time."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        os.utime(path, (at.timestamp(), at.timestamp()))
        return path


def prompt(text: str = "go") -> dict[str, Any]:
    """Return the record of a prompt."""
    return {"type": "user", "message": {"content": text}}


def call(tool: str, name: str = "toolu_1") -> dict[str, Any]:
    """Return the record of a completion that calls a tool and gets no result."""
    usage = {"input_tokens": 10, "output_tokens": 5}
    content = [{"type": "tool_use", "id": name, "name": tool, "input": {}}]
    message = {"id": f"msg_{name}", "model": "claude-sonnet-4-5", "usage": usage}
    return {"type": "assistant", "message": {**message, "content": content}}
