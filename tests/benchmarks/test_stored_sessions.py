"""Recordings of OpenCode become rows of its database."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.benchmarks.recordings import Recording
from tests.benchmarks.stored_sessions import (
    StoredReplay,
    created_ms,
    left_out_tokens,
    write_database,
)
from tests.helpers.session_databases import events_of

MS = 1_779_830_452_620
SESSION = "ses_199d68eb1ffeiC7wpwNaNnyFgE"


def part(kind: str, after: int, role: str = "assistant", **values: Any) -> dict[str, Any]:
    """Return a line of a transcript."""
    return {"type": kind, "_ts": MS + after, "_role": role, "_model": "m", **values}


def finish(reason: str, after: int, tokens: int) -> dict[str, Any]:
    """Return the end of a request."""
    counts = {"input": tokens, "output": 1, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    return part("step-finish", after, reason=reason, tokens=counts, cost=0)


PARTS = [
    part("text", 0, "user", text="x"),
    part("step-start", 1_000),
    part(
        "tool",
        4_000,
        tool="bash",
        callID="c",
        state={"status": "completed", "time": {"start": MS + 2_000, "end": MS + 4_000}},
    ),
    finish("tool-calls", 4_100, 10),
    part("step-start", 5_000),
    finish("stop", 6_000, 20),
]


def write_recording(folder: Path) -> Path:
    """Write a recording of one turn."""
    folder.mkdir(parents=True)
    (folder / "transcript.jsonl").write_text("".join(f"{json.dumps(p)}\n" for p in PARTS))
    events = [
        {"kind": "transcript_new", "session_id": SESSION, "adapter": "opencode"},
        {"kind": "state_transition", "session_id": SESSION},
    ]
    times = ("2026-05-26T21:20:53.184Z", "2026-05-26T21:21:10.000Z")
    lines = [{**e, "seq": n, "ts": at} for n, (e, at) in enumerate(zip(events, times, strict=True))]
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def test_stored_replay_shows_a_turn_at_its_times(tmp_path: Path) -> None:
    """The status changes with the rows."""
    recording = Recording.read(write_recording(tmp_path / "opencode/turn"))
    replay = StoredReplay(recording, tmp_path)
    replay.run()
    replay.close()
    shown = [(seen.presence.status.value, seen.presence.detail) for seen in replay.seen]
    assert shown == [
        ("idle", "done"),
        ("active", "working"),
        ("active", "tool"),
        ("active", "working"),
        ("idle", "done"),
    ]
    assert replay.seen[-1].at - replay.seen[1].at == timedelta(seconds=6)


def test_write_database_has_all_tokens(tmp_path: Path) -> None:
    """The recorded totals leave out the requests that ran tools."""
    transcript = write_recording(tmp_path / "opencode/turn") / "transcript.jsonl"
    path = write_database(transcript, tmp_path / "opencode.db")
    (events,) = events_of("opencode", path).values()
    assert sum(event.input_tokens or 0 for event in events) == 30
    assert left_out_tokens(transcript)["input_tokens"] == 10


def test_created_ms_is_in_the_id() -> None:
    """An id of another form says nothing."""
    assert abs(created_ms(SESSION, MS) - MS) < 2_000
    assert created_ms("ses_other", MS) == MS
    assert created_ms("ses_ffffffffffff", MS) == MS
