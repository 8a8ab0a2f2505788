"""The backfill stores past sessions once, next to what hooks report, and activates no agent."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import load_transcripts
from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.core.model import TOKEN_FIELDS, Event, PresenceStatus
from htmlgraph_nb.ingest.backfill import ImportReport, import_sessions
from htmlgraph_nb.ingest.session_files import find_sessions
from htmlgraph_nb.presence import PresenceManager, Publication
from tests.helpers.database_files import query_rows, stored_types
from tests.helpers.session_lines import MAIN, PAYLOADS, SESSION, START, at, line
from tests.integration.server.cli.test_cli import error_line, run

LATER = START + timedelta(days=30)
CALL = "toolu_01Xk9QmVb3nT7sRfLw2cYp4D"


def session_lines(n_answers: int = 2) -> bytes:
    """Return a session: a prompt, a tool, completions, the end of the turn."""
    common = {"sessionId": SESSION, "cwd": "/home/user/shop", "version": "2.1.158"}

    def record(kind: str, second: float, **message: Any) -> bytes:
        head = {**common, "type": kind, "timestamp": at(second), "uuid": f"u{second}"}
        return line({**head, "message": message}) + b"\n"

    use = {"type": "tool_use", "id": CALL, "name": "Bash", "input": {}}
    usage = {"input_tokens": 2, "output_tokens": 5}
    lines = [
        record("user", 0, content="go"),
        record("assistant", 1, id="m0", model="x", content=[use], usage=usage),
        record("user", 2, content=[{"type": "tool_result", "tool_use_id": CALL}]),
    ]
    for n in range(1, n_answers):
        end = {"model": "x", "content": [], "usage": usage, "stop_reason": "end_turn"}
        lines.append(record("assistant", 2 + n, id=f"m{n}", **end))
    return b"".join(lines)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """Yield an open database whose clock stands at LATER."""
    with PresenceManager(str(tmp_path / "h.db"), clock=lambda: LATER) as opened:
        yield opened


def import_folder(manager: PresenceManager, folder: Path, now: datetime = LATER) -> ImportReport:
    """Import a folder."""
    files, _ = find_sessions(folder)
    return import_sessions(manager, files, now)


def write(folder: Path, text: bytes, modified: datetime = START) -> Path:
    """Write the session file of SESSION."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{SESSION}.jsonl"
    path.write_bytes(text)
    os.utime(path, (modified.timestamp(), modified.timestamp()))
    return path


def test_backfill_totals_equal_load_transcripts(manager: PresenceManager, tmp_path: Path) -> None:
    """The imported totals are those of load_transcripts for the same files."""
    frame = load_transcripts(PAYLOADS, progress=False)
    report = import_folder(manager, PAYLOADS, datetime(2030, 1, 1, tzinfo=UTC))
    # The start of a subagent is in its own file and in that of its parent.
    assert (report.files, report.accepted, report.already_stored) == (16, len(frame), 1)
    names = ", ".join(f"sum({name})" for name in TOKEN_FIELDS)
    (sums,) = query_rows(manager.db_path, f"SELECT {names} FROM history")
    assert sums == tuple(int(frame[name].sum()) for name in TOKEN_FIELDS)
    counted = frame["event_type"].value_counts().to_dict()
    assert stored_types(manager.db_path) == {name: n for name, n in counted.items() if n}


def test_backfill_of_same_files_adds_nothing(manager: PresenceManager) -> None:
    """Importing the same files again changes nothing."""
    import_folder(manager, PAYLOADS)
    before = manager.cursor
    report = import_folder(manager, PAYLOADS)
    assert report.accepted == 0
    assert report.already_stored > 0
    assert manager.cursor == before


def test_backfill_of_grown_file_adds_only_new_events(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """Only the new part of a continued session is stored."""
    write(tmp_path / "s", session_lines(2))
    first = import_folder(manager, tmp_path / "s").accepted
    write(tmp_path / "s", session_lines(4))
    assert import_folder(manager, tmp_path / "s").accepted == 3
    assert stored_types(manager.db_path)["completion"] == 4
    assert stored_types(manager.db_path)["stop"] == 2
    assert first + 3 == sum(stored_types(manager.db_path).values())


def test_backfill_of_session_resumed_days_later(manager: PresenceManager, tmp_path: Path) -> None:
    """Timer events between the two parts do not keep out the second part."""
    write(tmp_path / "s", session_lines(2))
    import_folder(manager, tmp_path / "s")
    write(tmp_path / "s", session_lines(2) + session_lines(3).replace(b"2026-05-30", b"2026-06-02"))
    import_folder(manager, tmp_path / "s")
    assert stored_types(manager.db_path)["prompt"] == 1
    assert stored_types(manager.db_path)["completion"] == 3


def test_backfill_counts_lines_without_ids_once(manager: PresenceManager, tmp_path: Path) -> None:
    """Completions without an id are distinguished by their position and recognized again."""
    usage = {"input_tokens": 2, "output_tokens": 5}
    head = {"type": "assistant", "sessionId": SESSION, "timestamp": at(1)}
    bare = line({**head, "message": {"model": "x", "usage": usage}}) + b"\n"
    write(tmp_path / "s", bare * 3)
    import_folder(manager, tmp_path / "s")
    import_folder(manager, tmp_path / "s")
    assert query_rows(manager.db_path, "SELECT sum(output_tokens) FROM history") == [(15,)]


def test_backfill_waits_for_completion_that_may_grow(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """The last completion of a file that is still written is stored once it is final."""
    write(tmp_path / "s", session_lines(2), LATER)
    import_folder(manager, tmp_path / "s")
    assert stored_types(manager.db_path)["completion"] == 1
    import_folder(manager, tmp_path / "s", LATER + timedelta(hours=1))
    assert stored_types(manager.db_path)["completion"] == 2


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(seconds=20), PresenceStatus.ACTIVE),
        (timedelta(minutes=10), PresenceStatus.IDLE),
        (timedelta(hours=2), PresenceStatus.OFFLINE),
        (timedelta(days=3), None),
    ],
)
def test_backfill_never_shows_agent_as_more_active(
    tmp_path: Path, age: timedelta, status: PresenceStatus | None
) -> None:
    """An imported agent has at once the status that a running server would show by now."""
    now = START + timedelta(seconds=1) + age
    # Cut after the prompt: a live agent would be active.
    text = b"".join(session_lines().splitlines(keepends=True)[:1])
    write(tmp_path / "s", text)
    seen: list[PresenceStatus | None] = []

    def on_changes(batch: Publication) -> None:
        last = {change.agent_id: change.presence for change in batch.changes}
        seen.extend(presence and presence.status for presence in last.values())

    with PresenceManager(str(tmp_path / "h.db"), clock=lambda: now) as manager:
        manager.subscribe(on_changes)
        import_folder(manager, tmp_path / "s", now)
        presence = manager.get_agent_presence(MAIN)
        assert (presence.status if presence else None) is status
        assert seen == [status]
        assert manager.tick() == []


def test_backfill_keeps_status_of_live_agent(manager: PresenceManager, tmp_path: Path) -> None:
    """The past of an active agent changes its totals and nothing else."""
    manager.ingest([Event(agent_id=MAIN, session_id=SESSION, event_type="prompt")])
    before = manager.snapshot().get(MAIN)
    write(tmp_path / "s", session_lines())
    import_folder(manager, tmp_path / "s")
    after = manager.snapshot().get(MAIN)
    assert before is not None
    assert after is not None
    assert (after.status, after.detail) == (before.status, before.detail)
    assert after.last_activity == before.last_activity
    assert after.total_cost_tokens == 14


def test_backfill_counts_session_reported_by_hooks_once(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """Events from hooks are not stored again; completions are added, as hooks report none."""
    hook = {"session_id": SESSION, "tool_name": "Bash", "tool_use_id": CALL}
    for second, name in ((0.01, "UserPromptSubmit"), (1.01, "PreToolUse"), (2.01, "PostToolUse")):
        payload = {**hook, "hook_event_name": name, "htmlgraph": {"event_id": name}}
        received_at = START + timedelta(seconds=second)
        manager.ingest(events_from_hook(payload, received_at=received_at))
    write(tmp_path / "s", session_lines())
    report = import_folder(manager, tmp_path / "s")
    by_hooks = {"prompt": 1, "tool_start": 1, "tool_execute": 1}
    assert stored_types(manager.db_path) == {
        "session_start": 1,
        **by_hooks,
        "completion": 2,
        "stop": 1,
    }
    assert (report.covered, report.already_stored, report.accepted) == (1, 2, 4)
    assert query_rows(manager.db_path, "SELECT DISTINCT agent_id FROM history") == [(MAIN,)]


def test_backfill_counts_completions_from_telemetry_once(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """Completions that telemetry reported are not stored again from the file."""
    usage = {"input_tokens": 2, "output_tokens": 5, "timestamp": START}
    for name in ("1", "2"):
        event = {"agent_id": MAIN, "session_id": SESSION, "event_type": "completion", **usage}
        manager.ingest([Event(**event, source="otlp", event_id=name)])
    write(tmp_path / "s", session_lines())
    import_folder(manager, tmp_path / "s")
    assert query_rows(manager.db_path, "SELECT sum(output_tokens) FROM history") == [(10,)]
    assert stored_types(manager.db_path).get("tool_execute") == 1


def test_backfill_counts_calls_of_forked_session_once(
    manager: PresenceManager, tmp_path: Path
) -> None:
    """The calls and completions that a forked session repeats count once."""
    path = write(tmp_path / "s", session_lines())
    other = "11111111-1111-4111-8111-111111111111"
    copy = path.with_name(f"{other}.jsonl")
    copy.write_bytes(path.read_bytes().replace(SESSION.encode(), other.encode()))
    import_folder(manager, tmp_path / "s", datetime(2030, 1, 1, tzinfo=UTC))
    assert stored_types(manager.db_path)["tool_execute"] == 1
    assert stored_types(manager.db_path)["completion"] == 2


def test_import_command_reports_new_events(tmp_path: Path) -> None:
    """The command prints a summary, and a second run stores nothing."""
    sessions = tmp_path / "sessions"
    shutil.copytree(PAYLOADS, sessions)
    for path in sessions.rglob("*"):
        # The last completion of a file that was just written could still grow.
        os.utime(path, (0, 0))
    first = run(tmp_path, "import", "claude", str(sessions))
    assert first.returncode == 0, first
    frame = load_transcripts(sessions, agent="claude", progress=False)
    assert f"imported {len(frame)} events of 7 session files into {tmp_path}" in first.stdout
    assert first.stderr == ""
    again = run(tmp_path, "import", "claude", str(sessions))
    assert f"imported 0 events of 7 session files into {tmp_path}" in again.stdout
    assert f"{len(frame) + 1} existed already" in again.stdout


def test_import_command_reports_unreadable_input(tmp_path: Path) -> None:
    """Broken lines are counted and named; a folder without sessions is reported."""
    path = write(tmp_path / "s", session_lines() + b"{\n")
    done = run(tmp_path, "import", "claude", str(tmp_path / "s"), "--db", str(tmp_path / "x.db"))
    assert f"skipped 1 broken lines: {path}:5" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no sessions of codex in" in run(tmp_path, "import", "codex", str(empty)).stdout
    shutil.rmtree(empty)
    assert "does not exist; pass the folder" in error_line(
        run(tmp_path, "import", "codex", str(empty))
    )


def test_import_command_reads_no_settings_of_a_server(tmp_path: Path) -> None:
    """A wrong setting of a server is not its business; a wrong one of titles is."""
    words = "import", "claude", str(write(tmp_path / "s", session_lines()))
    done = run(tmp_path, *words, environ={"HTMLGRAPH_HOST": "0.0.0.0"})
    assert "of 1 session files" in done.stdout
    refused = error_line(run(tmp_path, *words, environ={"HTMLGRAPH_TITLES": "few"}))
    assert "HTMLGRAPH_TITLES: expected" in refused


CHILD = "afb92ff"


def progress_lines() -> bytes:
    """Return a session with progress lines of a subagent: one tool, one completion."""
    common = {"sessionId": SESSION, "cwd": "/home/user/shop", "version": "2.1.38", "uuid": "p1"}
    usage = {"input_tokens": 2, "output_tokens": 1, "cache_read_input_tokens": 9}
    use = {"type": "tool_use", "id": CALL, "name": "Read", "input": {}}
    done = {"type": "tool_result", "tool_use_id": CALL, "content": "never-keep-this"}
    answer = {"id": "msg_child", "model": "claude-haiku-4-5", "content": [use], "usage": usage}
    messages = [
        {"type": "user", "message": {"content": "never-keep-this"}},
        {"type": "assistant", "message": answer, "requestId": "req_child"},
        {"type": "assistant", "message": answer, "requestId": "req_child"},
        {"type": "user", "message": {"content": [done]}},
    ]
    lines = line({**common, "type": "user", "timestamp": at(0), "message": {"content": "go"}})
    for second, message in enumerate(messages, 1):
        inner = {**message, "timestamp": at(second), "uuid": f"c{second}"}
        data = {"type": "agent_progress", "agentId": CHILD, "message": inner}
        record = {**common, "type": "progress", "timestamp": at(second), "data": data}
        lines += b"\n" + line(record)
    return lines + b"\n"


def own_lines() -> bytes:
    """Return the subagent's own file: the same completion, with its final count."""
    common = {"sessionId": SESSION, "agentId": CHILD, "isSidechain": True, "type": "assistant"}
    usage = {"input_tokens": 2, "output_tokens": 40, "cache_read_input_tokens": 9}
    answer = {"id": "msg_child", "model": "claude-haiku-4-5", "content": [], "usage": usage}
    head = {**common, "timestamp": at(2), "uuid": "c2", "requestId": "req_child"}
    return line({**head, "message": answer}) + b"\n"


@pytest.mark.parametrize("has_own_file", [False, True])
def test_backfill_reads_subagent_from_own_file_or_progress(
    manager: PresenceManager, tmp_path: Path, has_own_file: bool
) -> None:
    """The completion counts once: with the final counts if the subagent has a file of its own."""
    folder = tmp_path / "projects" / "-home-user-shop"
    own = folder / SESSION / "subagents" / f"agent-{CHILD}.jsonl"
    own.parent.mkdir(parents=True)
    (folder / f"{SESSION}.jsonl").write_bytes(progress_lines())
    if has_own_file:
        own.write_bytes(own_lines())
    frame = load_transcripts(str(tmp_path))
    answers = frame[frame["event_type"] == "completion"]
    assert answers["output_tokens"].tolist() == [40 if has_own_file else 1]
    assert answers["agent_id"].tolist() == [f"claude-{CHILD}"]
    tools = frame[frame["event_type"] == "tool_execute"]["tool_name"].tolist()
    assert tools == ([] if has_own_file else ["Read"])
    assert "never-keep-this" not in frame.to_csv()

    for path in folder.rglob("*.jsonl"):
        os.utime(path, (START.timestamp(), START.timestamp()))
    files, _ = find_sessions(str(tmp_path))
    assert import_sessions(manager, files, LATER).accepted
    assert not import_sessions(manager, files, LATER).accepted
    with closing(sqlite3.connect(manager.db_path)) as db:
        stored = db.execute("SELECT agent_id, output_tokens FROM history WHERE model IS NOT NULL")
        assert stored.fetchall() == [(f"claude-{CHILD}", 40 if has_own_file else 1)]
