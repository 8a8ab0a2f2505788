"""The order in which session files are imported, and which of them are not read again."""

from __future__ import annotations

from htmlgraph_nb.ingest.import_order import (
    changed_files,
    count_sessions,
    import_order,
    stamp_of,
)
from htmlgraph_nb.ingest.session_files import SessionFile

NOW = 1_790_000_000.0
HOUR, DAY = 3_600.0, 86_400.0


def session(name: str, age_s: float, size: int = 10) -> SessionFile:
    """Return a session file that changed ``age_s`` seconds ago."""
    modified = NOW - age_s
    return SessionFile(f"/p/{name}.jsonl", "claude", size, modified, int(modified * 1e9))


def names(files: list[SessionFile]) -> list[str]:
    """Return the names of files."""
    return [file.path.removeprefix("/p/").removesuffix(".jsonl") for file in files]


def test_import_order_starts_with_the_last_24_hours() -> None:
    """Newest day first, oldest first within a day, subagents last."""
    files = [
        session("month", 29.5 * DAY),
        session("s/subagents/agent-1", 20 * HOUR),
        session("new", 1 * HOUR),
        session("older", 23 * HOUR),
        session("two-days-late", 2.1 * DAY),
        session("two-days-early", 2.9 * DAY),
        session("yesterday", 25 * HOUR),
        session("future", -HOUR),
    ]
    assert names(import_order(files, NOW)) == [
        "older",
        "new",
        "future",
        "s/subagents/agent-1",
        "yesterday",
        "two-days-early",
        "two-days-late",
        "month",
    ]


def test_changed_files_leaves_out_unchanged_files() -> None:
    """A file is read again if its size or its time has changed."""
    same, grown, touched, new = (session(name, HOUR) for name in ("a", "b", "c", "d"))
    imported = {
        same.path: stamp_of(same),
        grown.path: (grown.size - 1, grown.mtime_ns),
        touched.path: (touched.size, touched.mtime_ns - 1),
    }
    assert names(changed_files([same, grown, touched, new], imported)) == ["b", "c", "d"]


def test_changed_files_knows_names_that_are_not_utf_8() -> None:
    """A path with any bytes is found again."""
    file = session("name\udce9", HOUR)
    stored = {file.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")}
    assert changed_files([file], dict.fromkeys(stored, stamp_of(file))) == []


def test_count_sessions_counts_no_subagents() -> None:
    """Sessions are counted by agent, the most first."""
    codex = [SessionFile(f"/c/rollout-{n}.jsonl", "codex", 1, NOW) for n in range(3)]
    files = [session("a", HOUR), session("a/subagents/agent-1", HOUR), *codex]
    assert list(count_sessions(files).items()) == [("codex", 3), ("claude", 1)]
