"""Nothing that stands in the place of a session file blocks a reader or takes its memory."""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backports import zstd

from htmlgraph_nb import load_transcripts
from htmlgraph_nb.coding_agents.hook_hints import HookHints
from htmlgraph_nb.coding_agents.session import SessionRoot
from htmlgraph_nb.core.model import TOKEN_FIELDS, Event
from htmlgraph_nb.ingest import session_tail, session_watcher
from htmlgraph_nb.ingest.session_watcher import ACTIVE_FOR_S, SessionWatcher
from htmlgraph_nb.paths import open_regular
from tests.helpers.paths import ROOT
from tests.helpers.session_oracle import COMPRESS, claude_session_line, session_id
from tests.integration.server.cli.test_cli import run

NOW = datetime(2026, 5, 30, 18, 0, tzinfo=UTC)
PACKED = ROOT / "tests/payloads/compressed_sessions"
GOOD = claude_session_line(session_id(1), 1, 11)


def tokens(folder: Path) -> tuple[int, dict[str, str]]:
    """Return the tokens below a folder, and name → reason of what is not read."""
    frame = load_transcripts(folder, progress=False)
    reasons = frame.attrs["skip_reasons"]
    assert frame.attrs["skipped"] == sorted(reasons)
    names = {os.path.basename(path): reason for path, reason in reasons.items()}
    if frame.empty:
        return 0, names
    return int(frame[list(TOKEN_FIELDS)].sum().sum()), names


class Follower:
    """A watcher of one folder, and its clock."""

    def __init__(self, folder: Path, *, watch: bool = True) -> None:
        self.at = 1_000.0
        self.watcher = SessionWatcher(
            [SessionRoot("claude", os.path.realpath(folder))],
            NOW.timestamp() - 60,
            watch=watch,
            monotonic=lambda: self.at,
        )
        self.events: dict[str, Event] = {}

    def poll(self, seconds: float = 30.0, times: int = 10) -> int:
        """Advance the clock; return the tokens that were reported so far."""
        for _ in range(times):
            self.at += seconds / times
            for event in self.watcher.poll(NOW + timedelta(seconds=self.at - 1_000)):
                self.events[str(event.event_id)] = event
        return sum(event.total_tokens for event in self.events.values())

    def skipped(self) -> dict[str, str]:
        """Return name → reason of the files that the status report names."""
        files = self.watcher.report()["skipped"]["files"]
        return {os.path.basename(file["path"]): file["reason"] for file in files}

    def report(self, *paths: str) -> None:
        """Pass paths on as hooks do."""
        self.watcher.on_hook(HookHints("a", "s", None, paths, False, (), "claude"))


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_endless_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def make_bomb(path: Path) -> None:
    packed = path.with_name(path.name + ".zst")
    packed.write_bytes(zstd.compress(GOOD + b"\0" * (256 << 20)))


def make_truncated(path: Path) -> None:
    text = b"".join(claude_session_line(session_id(2), n, 100) for n in range(1, 2_000))
    path.with_name(path.name + ".zst").write_bytes(zstd.compress(text)[:-50])


def make_garbage(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(b"not gzip at all\n")


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (make_fifo, "not a regular file"),
    "zero": (make_endless_link, "not a regular file"),
    "loop": (make_loop, "Too many levels of symbolic links"),
    "socket": (make_socket, "not a regular file"),
    "sparse": (make_sparse, "sparse: of 1,099,511,627,776 bytes only"),
    "bomb": (make_bomb, "more than 1,000 times its size"),
    "truncated": (make_truncated, "the zstd data ends early"),
    "garbage": (make_garbage, "invalid gzip data"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_readers_name_special_files_and_read_the_others(tmp_path: Path, kind: str) -> None:
    """import, load_transcripts and the watcher end, name the file, and read its neighbor."""
    make, expected = SPECIAL[kind]
    shop = tmp_path / "projects" / "shop"
    shop.mkdir(parents=True)
    make(shop / f"{session_id(3)}.jsonl")
    (shop / f"{session_id(1)}.jsonl").write_bytes(GOOD)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, reasons = tokens(tmp_path)
    assert found >= 11
    ((_, reason),) = reasons.items()
    assert expected in reason
    done = run(tmp_path / "home", "import", "claude", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "could not read 1 file: " in done.stdout
    assert expected in done.stdout
    for path in shop.iterdir():
        if not path.is_symlink() and path.is_file():
            os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    follower = Follower(shop)
    assert follower.poll() >= 11
    ((_, reason),) = follower.skipped().items()
    assert expected in reason or "link" in reason
    if sys.platform == "linux":
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 400 << 10


def test_readers_keep_the_lines_of_a_truncated_file(tmp_path: Path) -> None:
    """What can be decompressed counts."""
    make_truncated(tmp_path / f"{session_id(2)}.jsonl")
    found, _ = tokens(tmp_path)
    assert 100_000 < found < 199_900


@pytest.mark.parametrize("suffix", COMPRESS)
def test_readers_decompress_every_format(tmp_path: Path, suffix: str) -> None:
    """The totals are those of the plain file; a second copy of the session adds nothing."""
    text = b"".join(claude_session_line(session_id(2), n, 100) for n in range(1, 3_000))
    path = tmp_path / "shop" / f"{session_id(2)}.jsonl{suffix}"
    path.parent.mkdir()
    path.write_bytes(COMPRESS[suffix](text))
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    assert tokens(tmp_path) == (299_900, {})
    follower = Follower(tmp_path)
    assert follower.poll(60, 60) == 299_900
    path.with_name(f"{session_id(2)}.jsonl").write_bytes(text)
    assert tokens(tmp_path) == (299_900, {})
    assert follower.poll() == 299_900


def test_codex_rollout_is_read_as_codex_compresses_it(tmp_path: Path) -> None:
    """A file with the name and compression of Codex counts 11,000 tokens, imported once."""
    assert tokens(PACKED) == (11_000, {})
    for accepted in ("imported 3 ", "imported 0 "):
        done = run(tmp_path, "import", "codex", str(PACKED))
        assert done.returncode == 0, done.stderr
        assert accepted in done.stdout
        assert "of 1 session files" in done.stdout


def test_long_line_ends_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is skipped has a limit, too; a shorter one is only broken."""
    monkeypatch.setattr(session_tail, "MAX_RECORD_BYTES", 1_000)
    monkeypatch.setattr(session_tail, "MAX_SKIPPED_BYTES", 5 << 20)
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"x" * 5_000 + b"\n" + GOOD)
    assert tokens(tmp_path) == (11, {})
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"x" * (7 << 20) + b"\n" + GOOD)
    assert tokens(tmp_path)[1] == {"a.jsonl": "line 2 is longer than 1 GiB"}


def test_open_regular_follows_no_swapped_link(tmp_path: Path) -> None:
    """A file that became a link after it was found is not read."""
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with open_regular(str(tmp_path / "link")) as file:
        assert file.read() == b"x"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(str(tmp_path / "link"), follow=False)


def test_watcher_survives_paths_that_hooks_make_up(tmp_path: Path) -> None:
    """Each bad path is named; the files of the others are read all the same."""
    shop = tmp_path / "shop"
    shop.mkdir()
    follower = Follower(tmp_path)
    os.mkfifo(shop / f"{session_id(5)}.jsonl")
    secret = tmp_path.parent / f"{session_id(6)}.jsonl"
    secret.write_bytes(GOOD)
    (shop / f"{session_id(7)}.jsonl").symlink_to(secret)
    bad = [
        str(shop / "\ud800.jsonl"),
        str(shop / "a\0b.jsonl"),
        "relative.jsonl",
        r"C:\Users\dev\.claude\projects\shop\a.jsonl",
        str(shop / "gone.jsonl"),
        str(shop / f"{session_id(5)}.jsonl"),
        str(shop / f"{session_id(7)}.jsonl"),
        str(secret),
        "/etc/passwd",
        "/dev/zero",
        "/" + "x" * 4_000 + ".jsonl",
    ]
    follower.report(*bad)
    path = shop / f"{session_id(1)}.jsonl"
    path.write_bytes(GOOD)
    os.utime(path, (NOW.timestamp() + 1, NOW.timestamp() + 1))
    assert follower.poll() == 11
    report = follower.watcher.report()
    named = {file["path"]: file["reason"] for file in report["skipped"]["files"]}
    assert report["skipped"]["count"] >= len(bad)
    assert all("\ud800" not in text for text in named)
    assert "in none of the agents' folders" in named[str(secret)]
    assert "--session-folder claude=FOLDER" in named[str(secret)]
    assert "not that of a session file" in named["/etc/passwd"]
    assert "not an absolute path" in named["relative.jsonl"]


def test_watcher_reads_files_that_were_swapped_for_a_while(tmp_path: Path) -> None:
    """A followed file that becomes a FIFO stops nothing, and is named until it is back."""
    path, other = (tmp_path / f"{session_id(number)}.jsonl" for number in (1, 2))
    for each in (path, other):
        each.write_bytes(GOOD.replace(session_id(1).encode(), each.stem.encode()))
        os.utime(each, (NOW.timestamp(), NOW.timestamp()))
    follower = Follower(tmp_path)
    assert follower.poll() == 22
    path.rename(tmp_path / "away")
    os.mkfifo(path)
    with other.open("ab") as file:
        file.write(claude_session_line(session_id(2), 9, 5))
    os.utime(other, (NOW.timestamp() + 50, NOW.timestamp() + 50))
    assert follower.poll() == 27
    assert follower.skipped() == {path.name: "not a regular file"}
    path.unlink()
    (tmp_path / "away").rename(path)
    follower.poll()
    assert follower.skipped() == {}


def test_watcher_names_files_of_other_formats(tmp_path: Path) -> None:
    """A file without any line of a session is named once it is at rest."""
    (tmp_path / "journal.jsonl").write_bytes(b'{"type":"started","key":"v1"}\n' * 30)
    os.utime(tmp_path / "journal.jsonl", (NOW.timestamp(), NOW.timestamp()))
    follower = Follower(tmp_path)
    follower.poll()
    assert follower.skipped() == {}
    follower.poll(ACTIVE_FOR_S + 10)
    assert "not those of a session" in follower.skipped()["journal.jsonl"]


def test_watcher_reads_more_files_than_it_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit the others wait until the first ones are read; none is left out."""
    monkeypatch.setattr(session_watcher, "MAX_ACTIVE", 20)
    monkeypatch.setattr(session_watcher, "_MAX_REPLACED", 5)
    for number in range(150):
        path = tmp_path / f"p{number % 7}" / f"{session_id(number)}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(GOOD.replace(session_id(1).encode(), session_id(number).encode()))
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    follower = Follower(tmp_path)
    follower.poll(1, 2)
    assert follower.watcher.report()["waiting"] > 100
    assert follower.poll(120, 200) == 150 * 11
    assert follower.watcher.report()["waiting"] == 0
    assert follower.watcher.report()["followed"] <= 20
    with path.open("ab") as file:
        file.write(claude_session_line(session_id(149), 9, 5))
    os.utime(path, (NOW.timestamp() + 500, NOW.timestamp() + 500))
    assert follower.poll(60, 60) == 150 * 11 + 5
