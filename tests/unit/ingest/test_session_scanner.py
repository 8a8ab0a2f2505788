"""SessionScanner reports new and changed session files, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from htmlgraph_nb.ingest import session_scanner
from htmlgraph_nb.ingest.session_scanner import SessionRoot, SessionScanner

SINCE = time.time() - 60
OLD = SINCE - 3_600


def write(path: Path, mtime: float = SINCE + 30) -> str:
    """Create a file and its folder, or append to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"{}\n")
    os.utime(path, (mtime, mtime))
    return str(path)


def scan(scanner: SessionScanner, now: float = 1_000.0, steps: int = 3) -> set[str]:
    """Return the paths that several steps report."""
    return {path for _ in range(steps) for path, _ in scanner.poll(now)}


def test_scanner_reports_new_and_changed_files(tmp_path: Path) -> None:
    """Each file is reported when it appears or changes, and once."""
    scanner = SessionScanner([SessionRoot("claude", str(tmp_path))], SINCE)
    first = write(tmp_path / "shop" / "a.jsonl")
    write(tmp_path / "shop" / "note.txt")
    assert scanner.behind
    assert scan(scanner) == {first}
    assert not scanner.behind
    assert scan(scanner) == set()
    second = write(tmp_path / "other" / "deep" / "b.jsonl")
    assert scan(scanner) == {second}
    write(Path(first), SINCE + 31)
    assert scan(scanner) == {first}
    assert scanner.n_files == 2
    os.unlink(second)
    scan(scanner)
    assert scanner.n_files == 1


def test_scanner_reports_past_files_once_they_change(tmp_path: Path) -> None:
    """A file last changed before ``since`` is counted, and reported after its next change."""
    path = write(tmp_path / "a.jsonl", OLD)
    scanner = SessionScanner([SessionRoot("claude", str(tmp_path))], SINCE)
    assert (scan(scanner), scanner.n_files) == (set(), 1)
    write(Path(path))
    assert scan(scanner) == {path}


def test_scanner_follows_no_links_and_only_allowed_folders(tmp_path: Path) -> None:
    """Symbolic links are ignored, and below the first level only the folder ``only`` is read."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside / "secret.jsonl")
    allowed = write(root / "hash" / "chats" / "session-1.json")
    write(root / "hash" / "logs" / "session-2.json")
    (root / "link").symlink_to(outside)
    (root / "hash" / "chats" / "link.jsonl").symlink_to(outside / "secret.jsonl")
    scanner = SessionScanner([SessionRoot("gemini", str(root), "chats")], SINCE)
    assert scan(scanner) == {allowed}


def test_scanner_limits_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Files above the limit are ignored, with one warning."""
    monkeypatch.setattr(session_scanner, "MAX_FILES", 2)
    for number in range(4):
        write(tmp_path / f"{number}.jsonl")
    scanner = SessionScanner([SessionRoot("claude", str(tmp_path))], SINCE)
    assert len(scan(scanner)) == 2
    assert caplog.text.count("more than 2 session files or folders") == 1
