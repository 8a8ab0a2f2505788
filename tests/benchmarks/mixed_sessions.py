"""Growing sessions of several agents, in the forms in which their programs write them."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from tests.helpers.paths import PAYLOADS

OPENCODE_SCHEMA = PAYLOADS / "session_databases" / "opencode-1.18.33.sql"
_CWD = "/home/user/shop"
_OUTPUT = "y" * 800

Record = dict[str, Any]


class Form(NamedTuple):
    """How an agent writes a session file.

    Attributes:
        path: session → path below the home folder.
        head: session → the first lines.
        call: (session, tool, id of the call) → the line of a tool call.
        result: the same → the line of its result.
    """

    path: Callable[[str], str]
    head: Callable[[str], list[Record]]
    call: Callable[[str, str, str], Record]
    result: Callable[[str, str, str], Record]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _codex(kind: str, payload: Record) -> Record:
    return {"timestamp": _now(), "type": kind, "payload": payload}


def _pi(message: Record) -> Record:
    name = f"{random.getrandbits(32):08x}"
    return {
        "type": "message",
        "id": name,
        "parentId": None,
        "timestamp": _now(),
        "message": message,
    }


def _copilot(kind: str, data: Record) -> Record:
    name = str(UUID(int=random.getrandbits(128), version=4))
    return {"type": kind, "data": data, "id": name, "timestamp": _now(), "parentId": None}


def _qwen(session: str, kind: str, message: Record, **fields: Any) -> Record:
    name = str(UUID(int=random.getrandbits(128), version=4))
    head = {"uuid": name, "sessionId": session, "timestamp": _now(), "type": kind, "cwd": _CWD}
    return {**head, "version": "0.24.4", "message": message, **fields}


_PI_USAGE = {"input": 7_468, "output": 53, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 7_521}
_QWEN_USAGE = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}

FORMS = {
    "codex": Form(
        lambda session: f".codex/sessions/2026/11/30/rollout-2026-11-30T00-00-00-{session}.jsonl",
        lambda session: [
            _codex("session_meta", {"id": session, "cwd": _CWD, "cli_version": "0.130.0"}),
            _codex("event_msg", {"type": "user_message", "message": "x"}),
        ],
        lambda _session, tool, call: _codex(
            "response_item",
            {"type": "function_call", "name": tool, "call_id": call, "arguments": "{}"},
        ),
        lambda _session, _tool, call: _codex(
            "response_item",
            {"type": "function_call_output", "call_id": call, "output": _OUTPUT},
        ),
    ),
    "pi": Form(
        lambda session: f".pi/agent/sessions/--home-user--/2026-11-30T00-00-00_{session}.jsonl",
        lambda session: [
            {"type": "session", "version": 3, "id": session, "timestamp": _now(), "cwd": _CWD},
            _pi({"role": "user", "content": [{"type": "text", "text": "x"}]}),
        ],
        lambda _session, tool, call: _pi(
            {
                "role": "assistant",
                "content": [{"type": "toolCall", "id": call, "name": tool, "arguments": {}}],
                "provider": "openai-codex",
                "model": "gpt-5.5",
                "usage": _PI_USAGE,
                "stopReason": "toolUse",
            }
        ),
        lambda _session, tool, call: _pi(
            {
                "role": "toolResult",
                "toolCallId": call,
                "toolName": tool,
                "content": [{"type": "text", "text": _OUTPUT}],
                "isError": False,
            }
        ),
    ),
    "copilot": Form(
        lambda session: f".copilot/session-state/{session}/events.jsonl",
        lambda session: [
            _copilot("session.start", {"sessionId": session, "context": {"cwd": _CWD}}),
            _copilot("user.message", {"content": "x", "attachments": []}),
            _copilot("assistant.turn_start", {"turnId": "0"}),
        ],
        lambda _session, tool, call: _copilot(
            "tool.execution_start", {"toolCallId": call, "toolName": tool, "turnId": "0"}
        ),
        lambda _session, _tool, call: _copilot(
            "tool.execution_complete", {"toolCallId": call, "success": True, "result": _OUTPUT}
        ),
    ),
    "qwen": Form(
        lambda session: f".qwen/projects/-home-user-shop/chats/{session}.jsonl",
        lambda session: [_qwen(session, "user", {"role": "user", "parts": [{"text": "x"}]})],
        lambda session, tool, call: _qwen(
            session,
            "assistant",
            {"role": "model", "parts": [{"functionCall": {"id": call, "name": tool, "args": {}}}]},
            model="qwen3-coder-plus",
            usageMetadata=_QWEN_USAGE,
        ),
        lambda session, tool, call: _qwen(
            session,
            "tool_result",
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": call, "name": tool, "response": {"output": "y"}}}
                ],
            },
            toolCallResult={"callId": call, "status": "success"},
        ),
    ),
}
"""Agent → its form; Claude Code is in ``follow``."""


class OpenCodeDatabase:
    """A database of OpenCode with growing sessions, written as its program does.

    Args:
        home: the home folder.
    """

    def __init__(self, home: Path) -> None:
        path = home / ".local/share/opencode/opencode.db"
        path.parent.mkdir(parents=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        text = OPENCODE_SCHEMA.read_text("utf-8")
        self._db.executescript(text)
        for table in ("part", "message", "session"):
            self._db.execute(f"DELETE FROM {table}")
        self._n_rows = 0
        # Open call → its message.
        self._messages: dict[str, str] = {}

    def add_session(self, session: str) -> None:
        """Add a session in a turn."""
        now, model = _millis(), '{"id":"fake-model","providerID":"fake"}'
        project = self._db.execute("SELECT id FROM project").fetchone()[0]
        self._db.execute(
            "INSERT INTO session (id, project_id, slug, directory, title, version, model, "
            "time_created, time_updated) VALUES (?, ?, 's', ?, 't', '1.18.33', ?, ?, ?)",
            (session, project, _CWD, model, now, now),
        )
        self._add_message(session, {"role": "user", "time": {"created": now}})

    def call(self, session: str, tool: str, call: str) -> None:
        """Add a tool call that runs."""
        now = _millis()
        message = self._add_message(session, _answer({"created": now}))
        self._messages[call] = message
        state = {"status": "running", "input": {}, "time": {"start": now}}
        part = {"type": "tool", "tool": tool, "callID": call, "state": state}
        self._db.execute(
            "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)",
            (f"prt_{call}", message, session, now, now, json.dumps(part)),
        )

    def finish(self, _session: str, tool: str, call: str) -> None:
        """Add the result of a tool call, and complete its message."""
        now = _millis()
        answer = _answer({"created": now, "completed": now})
        answer |= {"finish": "tool-calls", "tokens": {"input": 60, "output": 4, "reasoning": 3}}
        self._db.execute(
            "UPDATE message SET data = ?, time_updated = ? WHERE id = ?",
            (json.dumps(answer), now, self._messages.pop(call)),
        )
        times = {"start": now, "end": now}
        state = {"status": "completed", "input": {}, "output": _OUTPUT, "time": times}
        part = {"type": "tool", "tool": tool, "callID": call, "state": state}
        self._db.execute(
            "UPDATE part SET data = ?, time_updated = ? WHERE id = ?",
            (json.dumps(part), now, f"prt_{call}"),
        )

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _add_message(self, session: str, data: Record) -> str:
        self._n_rows += 1
        name, now = f"msg_{self._n_rows:012}", _millis()
        values = (name, session, now, now, json.dumps(data))
        self._db.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?)", values)
        return name


def _answer(times: dict[str, int]) -> Record:
    tokens = {"input": 0, "output": 0, "reasoning": 0}
    model = {"modelID": "fake-model", "providerID": "fake"}
    return {"role": "assistant", "time": times, **model, "tokens": tokens}


def _millis() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000)


class MixedSessions:
    """Current sessions of six agents in turn: Claude Code, those of FORMS, and OpenCode.

    Args:
        home: the home folder.
        claude_pair: (session, tool) → the lines of a call and of its result of Claude Code.
        count: number of sessions.
    """

    def __init__(
        self, home: Path, claude_pair: Callable[[str, str], tuple[bytes, bytes]], count: int
    ) -> None:
        self._home, self._claude_pair = home, claude_pair
        self._database = OpenCodeDatabase(home)
        self._agents = ("claude", *FORMS, "opencode")
        self._ids = [
            str(UUID(int=random.Random(number).getrandbits(128), version=4))
            for number in range(count)
        ]
        self._paths: list[Path] = []
        self._results: dict[int, Callable[[], None]] = {}
        self._n_calls = 0
        for number, session in enumerate(self._ids):
            agent = self._agents[number % len(self._agents)]
            path = home / ".claude/projects/-home-user" / f"{session}.jsonl"
            if agent == "opencode":
                self._ids[number] = f"ses_{session.replace('-', '')}"
                self._database.add_session(self._ids[number])
            elif agent != "claude":
                path = home / FORMS[agent].path(session)
            self._paths.append(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if agent in FORMS:
                path.write_bytes(b"".join(map(_line, FORMS[agent].head(session))))
            self.write(number, "Head")
            self.write(number, "Head")

    def write(self, number: int, tool: str) -> bool:
        """Write the result of the open call of a session, else a call; return whether a call."""
        finish = self._results.pop(number, None)
        if finish is not None:
            finish()
            return False
        agent = self._agents[number % len(self._agents)]
        session, self._n_calls = self._ids[number], self._n_calls + 1
        call = f"call_{os.getpid()}x{self._n_calls}"
        if agent == "opencode":
            self._database.call(session, tool, call)
            self._results[number] = lambda: self._database.finish(session, tool, call)
            return True
        if agent == "claude":
            line, result = self._claude_pair(session, tool)
            self._append(number, line)
            self._results[number] = lambda: self._append(number, result)
            return True
        form = FORMS[agent]
        self._append(number, _line(form.call(session, tool, call)))
        self._results[number] = lambda: self._append(
            number, _line(form.result(session, tool, call))
        )
        return True

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _append(self, number: int, line: bytes) -> None:
        with self._paths[number].open("ab", buffering=0) as file:
            file.write(line)


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
