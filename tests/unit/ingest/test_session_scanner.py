"""SessionScanner reports new and changed session files, and nothing else."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from htmlgraph_nb.ingest import session_scanner
from htmlgraph_nb.ingest.files.skipped_files import SkippedFiles
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


def test_scanner_reads_only_allowed_folders(tmp_path: Path) -> None:
    """Below the first level only the folder ``only`` is read, also through a link."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside / "logs" / "secret.jsonl")
    linked = write(outside / "chats" / "session-3.json")
    allowed = write(root / "hash" / "chats" / "session-1.json")
    write(root / "hash" / "logs" / "session-2.json")
    (root / "link").symlink_to(outside)
    scanner = SessionScanner([SessionRoot("gemini", str(root), "chats")], SINCE)
    assert scan(scanner) == {allowed, linked}


def skips(skipped: SkippedFiles) -> dict[str, str]:
    """Return name → reason of the skipped files."""
    files = skipped.report()["skipped"]["files"]
    return {os.path.basename(file["path"]): file["reason"] for file in files}


def test_scanner_follows_links_to_folders_once(tmp_path: Path) -> None:
    """A project that is a link counts once, however many links lead to it, under its own path."""
    root, shared = tmp_path / "root", tmp_path / "shared"
    first = write(shared / "shop" / "a.jsonl")
    inner = write(shared / "shop" / "sub" / "b.jsonl")
    own = write(root / "own" / "c.jsonl")
    for name in ("one", "two"):
        (root / name).symlink_to(shared / "shop")
    (root / "up").symlink_to(tmp_path)
    (root / "all").symlink_to("/")
    (root / "self").symlink_to(root)
    (root / "inside").symlink_to(root / "own")
    (root / "loop").symlink_to("loop")
    (shared / "shop" / "back").symlink_to(root)
    (shared / "shop" / "etc").symlink_to("/etc")
    skipped = SkippedFiles()
    scanner = SessionScanner([SessionRoot("claude", str(root))], SINCE, skipped)
    assert scan(scanner, steps=6) == {first, inner, own}
    assert scanner.n_files == 3
    assert skips(skipped).keys() == {"up", "all", "self"}
    late = write(shared / "shop" / "d.jsonl")
    assert scan(scanner) == {late}
    write(Path(first), SINCE + 40)
    assert scan(scanner, steps=6) == {first}


def test_scanner_bounds_folders_below_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a huge tree is named, and other projects are read."""
    monkeypatch.setattr(session_scanner, "MAX_LINKED_FOLDERS", 10)
    for number in range(50):
        write(tmp_path / "huge" / str(number) / "a.jsonl")
    own = write(tmp_path / "root" / "own" / "c.jsonl")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "huge")
    skipped = SkippedFiles()
    scanner = SessionScanner([SessionRoot("claude", str(tmp_path / "root"))], SINCE, skipped)
    found = scan(scanner, steps=6)
    assert own in found
    assert len(found) == 10
    assert "more than 10 folders" in skips(skipped)["link"]


def test_scanner_names_what_looks_like_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each file that is passed over, the reason is known until it is gone."""
    shop = tmp_path / "shop"
    good = write(shop / "good.jsonl")
    write(shop / "rollout-a.jsonl.zst")
    write(tmp_path / "elsewhere.jsonl")
    root = tmp_path / "root"
    root.mkdir()
    shop.rename(root / "shop")
    shop = root / "shop"
    os.mkfifo(shop / "pipe.jsonl")
    (shop / "zero.jsonl").symlink_to("/dev/zero")
    (shop / "file.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    (shop / "inner.jsonl").symlink_to(shop / "good.jsonl")
    (shop / "loop.jsonl").symlink_to("loop.jsonl")
    write(shop / "old.jsonl.lz4")
    write(shop / "rollout-2025.json")
    write(shop / "copy.jsonl.bak")
    for name in ("busy.jsonl.tmp", "notes.txt", "sessions-index.json"):
        write(shop / name)
    monkeypatch.chdir(shop)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jsonl")
    skipped = SkippedFiles()
    scanner = SessionScanner([SessionRoot("claude", str(root))], SINCE, skipped)
    found = {os.path.basename(path) for path in scan(scanner)}
    assert found == {os.path.basename(good), "rollout-a.jsonl.zst"}
    reasons = skips(skipped)
    assert reasons.keys() == {
        *("pipe.jsonl", "zero.jsonl", "file.jsonl", "loop.jsonl", "socket.jsonl"),
        *("old.jsonl.lz4", "rollout-2025.json", "copy.jsonl.bak"),
    }
    assert "not a regular file" in reasons["pipe.jsonl"]
    assert "not a regular file" in reasons["zero.jsonl"]
    assert "link that folder" in reasons["file.jsonl"]
    (shop / "pipe.jsonl").unlink()
    scan(scanner)
    assert "pipe.jsonl" not in skips(skipped)


def test_scanner_prefers_the_plain_file(tmp_path: Path) -> None:
    """While Codex compresses a file, or unpacks it, only the plain one is reported."""
    plain = Path(write(tmp_path / "rollout-a.jsonl"))
    packed = Path(write(tmp_path / "rollout-a.jsonl.zst"))
    scanner = SessionScanner([SessionRoot("codex", str(tmp_path))], SINCE)
    assert scan(scanner) == {str(plain)}
    plain.unlink()
    assert scan(scanner) == {str(packed)}


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


@pytest.mark.parametrize("offset_s", [-3_600.0, 3_600.0])
def test_scanner_does_not_trust_the_clock_of_the_file_system(
    tmp_path: Path, offset_s: float
) -> None:
    """A folder whose clock differs is listed again while its timestamp can hide a change."""
    at = time.time() + offset_s
    scanner = SessionScanner([SessionRoot("claude", str(tmp_path))], 0.0)
    first = write(tmp_path / "a.jsonl")
    os.utime(tmp_path, (at, at))
    assert scan(scanner) == {first}
    second = write(tmp_path / "b.jsonl")
    os.utime(tmp_path, (at, at))
    assert scan(scanner, 1_001.0) == {second}


def test_scanner_lists_a_settled_folder_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one at rest for days only once."""
    days_ago = time.time() - 5 * 86_400
    for name in ("old", "new"):
        write(tmp_path / name / "a.jsonl")
    for folder in (tmp_path / "old", tmp_path):
        os.utime(folder, (days_ago, days_ago))
    listed: list[str] = []
    original = os.scandir
    monkeypatch.setattr(
        session_scanner.os,
        "scandir",
        lambda path: listed.append(os.path.basename(path)) or original(path),
    )
    monkeypatch.setattr(session_scanner, "_STEP_S", 60.0)
    scanner = SessionScanner([SessionRoot("claude", str(tmp_path))], SINCE)
    for now in (1_000.0, 1_001.0, 1_003.0):
        scan(scanner, now, 1)
    assert (listed.count("old"), listed.count("new")) == (1, 3)
    listed.clear()
    scan(scanner, 1_004.0)
    assert listed == []
