"""Recorded sessions of OpenCode, written into a database as the program does, row by row.

Their ``transcript.jsonl`` has the recorder's rendering of the table ``part``: its JSON, the time of
its last change (``_ts``), and of its message the role, the model and the error. A request begins
with ``step-start`` and is complete with ``step-finish``, whose tokens are those of the message. The
id of a session contains when it was created. Only this is filled in: a tool call starts at the time
in its state, and a subagent, whose parts were not recorded, has a prompt and an answer that is not
complete when the recorder saw activity of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from htmlgraph_nb.agent_check.playback import Replay
from htmlgraph_nb.coding_agents.input_hash import no_hash
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import EPOCH
from htmlgraph_nb.ingest.following.database_watcher import RUNNING_AFTER_S
from tests.benchmarks.recordings import Recording, Session
from tests.helpers.session_databases import OpenCodeWriter, empty_database

AGENT = "opencode"
POLL = timedelta(seconds=0.05)
"""Time after which a change of the database is noticed: half of the interval of the checks."""
_ID_BITS, _WRAP = (1 << 48) - 1, 1 << 36
_MAX_NOTICED_MS = 600_000
_MAX_ROWS = 1_000
_CHECK = timedelta(seconds=10)

Part = dict[str, Any]
Step = tuple[int, Callable[[OpenCodeWriter], object]]
"""Milliseconds since 1970, and what the program writes then."""


def read_parts(path: Path) -> list[Part]:
    """Return the parts of a transcript by time."""
    parts = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return sorted(parts, key=lambda part: int(part["_ts"]))


class _Conversation:
    """Writes the parts of one session."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._message = ""
        self._calls: dict[str, str] = {}

    def steps(self, part: Part) -> Iterator[Step]:
        """Yield what is written for a part."""
        at = int(part["_ts"])
        state = part.get("state") or {}
        times = state.get("time") or {}
        if part["type"] == "tool" and "start" in times:
            yield int(times["start"]), partial(self._start_call, part)
        yield at, partial(self._write, part)

    def _start_call(self, part: Part, writer: OpenCodeWriter) -> None:
        values = {"tool": part["tool"], "callID": part["callID"]}
        state = {**part["state"], "status": "running", "output": None, "metadata": {}}
        state["time"] = {"start": part["state"]["time"]["start"]}
        name = writer.part(self._session, self._message, "tool", **values, state=state)
        self._calls[part["callID"]] = name

    def _write(self, part: Part, writer: OpenCodeWriter) -> None:
        kind = part["type"]
        values = {key: value for key, value in part.items() if key[0] != "_" and key != "type"}
        if part["_role"] == "user":
            self._message = writer.message(self._session, "user")
        elif kind == "step-start" or not self._message:
            self._message = writer.message(self._session, "assistant", modelID=part.get("_model"))
        if name := self._calls.pop(part.get("callID", ""), None):
            writer.update("part", name, **values)
        else:
            writer.part(self._session, self._message, kind, **values)
        done: dict[str, Any] = {}
        if kind == "step-finish":
            done = {"finish": part["reason"], "tokens": part["tokens"], "cost": part["cost"]}
        if part.get("_error") is not None and part["_role"] == "assistant":
            error = part["_error"]
            done["error"] = error if isinstance(error, dict) else {"name": str(error)}
        if done:
            time = {"created": writer.at, "completed": writer.at}
            writer.update("message", self._message, time=time, **done)


def _milliseconds(at: datetime) -> int:
    return round((at - EPOCH).total_seconds() * 1_000)


def created_ms(session: str, near: int) -> int:
    """Return when a session was created, by its id: its first 12 digits are the complement of it.

    Args:
        near: about when it was created, because the id has only the last 36 bits; also the result
            for an id of another form.
    """
    try:
        created = (~int(session.removeprefix("ses_")[:12], 16) & _ID_BITS) >> 12
    except ValueError:
        return near
    created += (near - created + _WRAP // 2) // _WRAP * _WRAP
    return created if abs(created - near) < _MAX_NOTICED_MS else near


def steps_of(recording: Recording) -> list[Step]:
    """Return all that the program writes, by time."""
    parts = read_parts(recording.folder / "transcript.jsonl")
    born = {
        event["session_id"]: _milliseconds(event["at"])
        for event in reversed(recording.events)
        if event["kind"] == "transcript_new" and not event["session_id"].startswith("proc-")
    }
    mains = [name for name in born if recording.sessions[name].parent is None]
    mains.sort(key=born.__getitem__)
    prompts = [int(part["_ts"]) for part in parts if part["_role"] == "user"]
    starts = {name: created_ms(name, near) for name, near in born.items()}
    if mains and prompts:
        # Not all ids are those of the program.
        starts[mains[0]] = min(starts[mains[0]], prompts[0])
    steps: list[Step] = []
    for name, at in starts.items():
        add = partial(_add_session, name=name, parent=recording.sessions[name].parent)
        steps.append((at - 1, add))
    for index, name in enumerate(mains):
        end = starts[mains[index + 1]] if index + 1 < len(mains) else None
        own = [p for p in parts if p["_ts"] >= starts[name] and (end is None or p["_ts"] < end)]
        conversation = _Conversation(name)
        steps += [step for part in own for step in conversation.steps(part)]
    for event in recording.events:
        session = recording.sessions.get(event.get("session_id", ""))
        if event["kind"] == "transcript_activity" and session is not None and session.parent:
            steps.append((_milliseconds(event["at"]), partial(_add_stand_in, session=session)))
    return sorted(steps, key=lambda step: step[0])


def _add_session(writer: OpenCodeWriter, name: str, parent: str | None) -> None:
    writer.session(name, parent)


def _add_stand_in(writer: OpenCodeWriter, session: Session) -> None:
    query = "SELECT count(*) FROM message WHERE session_id = ?"
    (known,) = writer.db.execute(query, (session.name,)).fetchone()
    writer.message(session.name, "assistant" if known else "user")


class StoredReplay(Replay):
    """Plays a recording whose sessions are in a database."""

    def __init__(self, recording: Recording, folder: Path) -> None:
        super().__init__(recording, folder)
        self._path = empty_database(AGENT, folder / "opencode.db")
        self._writer = OpenCodeWriter(self._path)
        self._cursors: dict[str, Any] = {}
        self._changed: dict[str, datetime] = {}
        at = recording.events[0]["at"]
        while (at := at + _CHECK) < self.end:
            self._plan(at, self._check_running)
        for ms, write in steps_of(recording):
            self._plan(EPOCH + timedelta(milliseconds=ms), partial(self._step, write))

    def _check_running(self, now: datetime) -> None:
        """Report running turns again, as the watcher does."""
        for name, cursor in self._cursors.items():
            if (now - self._changed[name]).total_seconds() >= RUNNING_AFTER_S:
                self._changed[name] = now
                self._feed(cursor.still_running(now), now)

    def close(self) -> None:
        """Close the database."""
        self._writer.close()

    def _step(self, write: Callable[[OpenCodeWriter], object], now: datetime) -> None:
        self._writer.at = _milliseconds(now)
        write(self._writer)
        self._plan(now + POLL, self._poll)

    def _poll(self, now: datetime) -> None:
        database = AGENTS[AGENT].session_database()
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
            for stored in database.sessions(db, 0):
                new = database.cursor(stored.session, no_hash)
                cursor = self._cursors.setdefault(stored.session, new)
                events = cursor.read(db, _MAX_ROWS)
                if events or stored.session not in self._changed:
                    self._changed[stored.session] = now
                self._feed(events, now)


def write_database(transcript: Path, path: Path) -> Path:
    """Create a database with one session that has all parts of a transcript."""
    writer = OpenCodeWriter(empty_database(AGENT, path))
    parts = read_parts(transcript)
    writer.at = min(int(part["_ts"]) for part in parts) - 1_000
    conversation = _Conversation(writer.session())
    steps = [step for part in parts for step in conversation.steps(part)]
    for at, write in sorted(steps, key=lambda step: step[0]):
        writer.at = at
        write(writer)
    writer.close()
    return path


def left_out_tokens(transcript: Path) -> Mapping[str, int]:
    """Return the tokens of the requests that ran tools, which the recorded totals leave out."""
    steps = [part for part in read_parts(transcript) if part.get("reason") == "tool-calls"]
    counts = [part["tokens"] for part in steps]
    return {
        "input_tokens": sum(each["input"] for each in counts),
        "output_tokens": sum(each["output"] for each in counts),
        "cache_read_tokens": sum(each["cache"]["read"] for each in counts),
        "cache_creation_tokens": sum(each["cache"]["write"] for each in counts),
    }
