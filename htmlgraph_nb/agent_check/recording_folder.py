"""Recorded sessions of an agent, as its author stores them.

A recording is a folder with ``transcript.jsonl``, the agent's session file, and the other files of
the session (its sidecars) under their own names. Three more files are optional:

- ``events.jsonl``: what happened when, one JSON object a line with ``ts`` (RFC 3339) and ``kind``:
  ``transcript_activity`` with ``file_size``, the size in bytes to which the file had grown;
  ``hook_received`` with ``input``, the JSON object that the hook received; ``pid_discovered`` and
  ``process_exited`` with ``pid``. Without it, each line of the file was written at the time of its
  events.
- ``expected.jsonl``: the expected states, see ``phases``.
- ``tokens.json``: the totals ``input_tokens`` (without cached ones), ``cache_read_tokens``,
  ``cache_creation_tokens`` and ``output_tokens``; what is missing is not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..coding_agents.agent import CodingAgent
from ..coding_agents.fields import timestamp
from ..coding_agents.session import parse_record
from ..core.ids import agent_id_of
from ..errors import InvalidEvent

TRANSCRIPT = "transcript.jsonl"
_OWN_FILES = frozenset({TRANSCRIPT, "events.jsonl", "expected.jsonl", "tokens.json"})
_SNIFFED_LINES = 20


@dataclass
class RecordedSession:
    """The session of a recording; see PlayedSession."""

    name: str
    agent: str
    session_id: str
    path: str = ""
    size: int = 0
    content: bytes | None = None
    parent: str | None = None

    @property
    def agent_id(self) -> str:
        """Id of the session's agent."""
        return agent_id_of(self.session_id, self.agent)


@dataclass
class FolderRecording:
    """A recording; see PlayedRecording.

    Attributes:
        folder: where it is stored.
        sidecars: name → content of the other files of the session.
    """

    folder: Path
    events: list[dict[str, Any]]
    sessions: dict[str, RecordedSession]
    sidecars: dict[str, bytes]
    processes: dict[str, str] = field(default_factory=dict)

    @property
    def session(self) -> RecordedSession:
        """Its only session."""
        return next(iter(self.sessions.values()))

    def hook_payload(
        self, session: Any, event: Mapping[str, Any], now: datetime
    ) -> Mapping[str, Any]:
        """Return the input of a recorded hook."""
        payload: Mapping[str, Any] = event["input"]
        return payload

    def lines_of_subagent(self, session: Any, now: datetime, first: bool) -> bytes:
        """Return nothing: there is one session."""
        return b""


def find_recordings(folder: Path) -> list[Path]:
    """Return the folders of recordings in a folder, at any depth.

    Raises:
        InvalidEvent: there are none.
    """
    found = sorted(path.parent for path in folder.rglob(TRANSCRIPT))
    if not found:
        raise InvalidEvent(f"folder: expected folders with {TRANSCRIPT} in {folder}", "folder")
    return found


def read_recording(agent: CodingAgent, folder: Path) -> FolderRecording:
    """Return the recording in a folder.

    Raises:
        InvalidEvent: a file of it has another form; the message names it.
        OSError: a file cannot be read.
    """
    content = (folder / TRANSCRIPT).read_bytes()
    name = _session_id(agent, content) or folder.name
    path = f"/{folder.name}/{name}.jsonl"
    session = RecordedSession(name, agent.name, name, path, len(content), content)
    recorded = folder / "events.jsonl"
    if recorded.exists():
        events = [_event(line, number) for number, line in _lines(recorded)]
    else:
        events = list(_growth(agent, path, content))
    for event in events:
        event.setdefault("session_id", name)
    if not events:
        raise InvalidEvent(f"{folder / TRANSCRIPT}: expected lines with events, got none")
    files = [file for file in folder.iterdir() if file.is_file() and file.name not in _OWN_FILES]
    sidecars = {file.name: file.read_bytes() for file in files}
    events.sort(key=lambda event: event["at"])
    return FolderRecording(folder, events, {name: session}, sidecars)


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line


def _event(line: bytes, where: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise InvalidEvent(f"{where}: invalid JSON: {error}") from None
    at = timestamp(event.get("ts")) if isinstance(event, dict) else None
    if at is None or not isinstance(event.get("kind"), str):
        raise InvalidEvent(f"{where}: expected an object with ts (RFC 3339) and kind")
    if event["kind"] == "hook_received" and not isinstance(event.get("input"), dict):
        raise InvalidEvent(f"{where}: expected input, the JSON object that the hook received")
    return {**event, "at": at}


def _session_id(agent: CodingAgent, content: bytes) -> str | None:
    for line in content.splitlines()[:_SNIFFED_LINES]:
        try:
            session = agent.session_place(parse_record(line))[0]
        except InvalidEvent:
            continue
        if session:
            return session
    return None


def _growth(agent: CodingAgent, path: str, content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the growth of a file whose lines were written at the times of their events."""
    reader, size, at = agent.session_reader(path), 0, datetime.min.replace(tzinfo=UTC)
    for line in content.splitlines(keepends=True):
        size += len(line)
        try:
            events = reader.feed(line.strip())
        except InvalidEvent:
            continue
        times = [event.timestamp for event in events if event.timestamp is not None]
        if times:
            at = max(at, *times)
            yield {"at": at, "kind": "transcript_activity", "file_size": size}
