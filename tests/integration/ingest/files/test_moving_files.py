"""Whatever happens to session files on disk, each token counts once: the files are real."""

from __future__ import annotations

import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb import load_transcripts
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.session import SessionRoot
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.session_watcher import SessionWatcher
from tests.helpers.session_lines import once
from tests.helpers.session_oracle import (
    COMPRESS,
    claude_session_line,
    codex_session_line,
    pack,
    session_id,
    unpack,
)

NOW = datetime(2026, 5, 30, 18, 0, tzinfo=UTC)
TOKENS = ("input_tokens", "output_tokens")


class Disk:
    """The session files of an agent, a watcher of them, and the tokens that were written."""

    def __init__(self, folder: Path, agent: str, seed: int = 0) -> None:
        self.agent = agent
        self.rng = random.Random(seed)
        self.home = folder / "home"
        self.outside = folder / "outside"
        self.outside.mkdir(parents=True)
        self.roots = [
            SessionRoot(agent, os.path.realpath(root.path))
            for root in AGENTS[agent].roots_in(str(self.home))
        ]
        for root in self.roots:
            os.makedirs(root.path)
        self.at = 1_000.0
        self.watcher = SessionWatcher(self.roots, NOW.timestamp() - 60, monotonic=lambda: self.at)
        self.events: list[Event] = []
        self.files: dict[int, Path] = {}
        self.lines: dict[int, list[bytes]] = {}
        self.tokens: dict[bytes, int] = {}
        self.total = 0
        self.n_renamed = 0

    def poll(self, seconds: float = 30.0, times: int = 15) -> None:
        """Advance the clock and collect what the watcher reports."""
        for _ in range(times):
            self.at += seconds / times
            self.events += self.watcher.poll(NOW + timedelta(seconds=self.at - 1_000))

    def append(self, number: int) -> None:
        """Add an answer to a session, which is created or unpacked if need be."""
        path = self.plain(number)
        lines = self.lines[number]
        tokens = self.rng.randrange(2, 1_000)
        # Numbers of lines rise even after a truncation, as their times do.
        at = len(self.tokens) + 1
        session = session_id(number)
        if self.agent == "claude":
            new = [claude_session_line(session, at, tokens)]
        else:
            written = sum(self.tokens.get(line, 0) for line in lines)
            first = [] if lines else [codex_session_line(session, 0, 0, 0)]
            new = [*first, codex_session_line(session, at, tokens, written + tokens)]
        self.tokens[new[-1]] = tokens
        self.total += tokens
        lines += new
        with path.open("ab") as file:
            file.write(b"".join(new))
        self.touch(path)

    def touch(self, path: Path) -> None:
        """Give a file the time of the clock."""
        time = NOW.timestamp() + self.at - 1_000
        os.utime(path, (time, time))

    def plain(self, number: int) -> Path:
        """Return the path of a session that is not compressed."""
        path = self.files.get(number)
        if path is None:
            name = f"{session_id(number)}.jsonl"
            name = name if self.agent == "claude" else f"rollout-2026-05-30T17-00-00-{name}"
            path = Path(self.roots[0].path) / f"project{number % 2}" / name
            path.parent.mkdir(exist_ok=True)
            self.lines[number] = []
        elif path.suffix != ".jsonl":
            path = unpack(path)
            self.touch(path)
        self.files[number] = path
        return path

    def pack(self, number: int) -> None:
        """Compress a session."""
        self.files[number] = pack(self.plain(number), self.rng.choice(list(COMPRESS)))

    def archive(self, number: int) -> None:
        """Move a session to the last root, or back."""
        path = self.files[number]
        roots = [Path(root.path) for root in self.roots]
        target = roots[0] / "project0" if path.is_relative_to(roots[-1]) else roots[-1]
        target = target if len(roots) > 1 else roots[0] / f"other{self.rng.randrange(2)}"
        target.mkdir(exist_ok=True)
        self.files[number] = path.replace(target / path.name)

    def rename_folder(self, number: int) -> None:
        """Rename the folder of a session."""
        folder = self.files[number].parent
        if folder == Path(self.roots[-1].path):
            return
        self.n_renamed += 1
        self._move_folder(folder, folder.with_name(f"renamed{self.n_renamed}"))

    def link_folder(self, number: int) -> None:
        """Move the folder of a session elsewhere and link it."""
        folder = self.files[number].parent
        if folder == Path(self.roots[-1].path) or folder.is_symlink():
            return
        self.n_renamed += 1
        target = self.outside / f"linked{self.n_renamed}"
        folder.rename(target)
        folder.symlink_to(target)
        folder.with_name(f"again{self.n_renamed}").symlink_to(target)

    def _move_folder(self, old: Path, new: Path) -> None:
        old.rename(new)
        for number, path in self.files.items():
            if path.parent == old:
                self.files[number] = new / path.name

    def copy(self, number: int) -> None:
        """Copy a session to another folder, as a backup does."""
        folder = Path(self.roots[0].path) / "backup"
        folder.mkdir(exist_ok=True)
        self.touch(Path(shutil.copy(self.files[number], folder)))

    def truncate(self, number: int) -> None:
        """Cut the last lines off; of Codex, which counts on from them, for a while."""
        path = self.plain(number)
        self.poll()
        before = path.read_bytes()
        if self.agent == "codex":
            path.write_bytes(before[: self.rng.randrange(len(before))])
            self.touch(path)
            self.poll()
            path.write_bytes(before)
            self.touch(path)
            return
        del self.lines[number][self.rng.randrange(1, len(self.lines[number]) + 1) :]
        path.write_bytes(b"".join(self.lines[number]))
        self.touch(path)

    def replace(self, number: int) -> None:
        """Write a session again and rename it to its place."""
        path = self.plain(number)
        new = path.with_suffix(".new")
        shutil.copy(path, new)
        self.touch(new)
        new.replace(path)

    def swap(self, number: int) -> None:
        """Put a FIFO in the place of a session for a while."""
        path = self.files[number]
        away = self.outside / path.name
        path.rename(away)
        os.mkfifo(path)
        self.poll()
        path.unlink()
        away.rename(path)


OPERATIONS = (
    *("append", "append", "pack", "archive", "rename_folder", "link_folder", "copy", "truncate"),
    *("replace", "swap"),
)


@settings(max_examples=60)
@given(
    agent=st.sampled_from(["claude", "codex"]),
    seed=st.integers(0, 1_000),
    steps=st.lists(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 3)), min_size=2, max_size=12
    ),
)
def test_watcher_counts_each_token_once(
    tmp_path_factory: pytest.TempPathFactory, agent: str, seed: int, steps: list[tuple[str, int]]
) -> None:
    """Files that are moved, linked, compressed, copied, cut or replaced count as they should."""
    disk = Disk(tmp_path_factory.mktemp("disk"), agent, seed)
    for operation, number in steps:
        if operation == "append" or number in disk.files:
            getattr(disk, operation)(number)
            if disk.rng.random() < 0.8:
                disk.poll()
    disk.poll(700)
    seen = [event for event in once(disk.events) if event.event_type == "completion"]
    assert sum(event.total_tokens for event in seen) == disk.total
    assert len(seen) == len(disk.tokens)
    assert disk.watcher.report()["skipped"] == {"count": 0, "files": []}
    frame = load_transcripts(disk.home, progress=False)
    left = {line for path in disk.files for line in disk.lines[path]}
    expected = sum(disk.tokens.get(line, 0) for line in left)
    found = 0 if frame.empty else int(frame[list(TOKENS)].sum().sum())
    if "copy" not in [name for name, _ in steps]:
        assert found == expected
    assert found >= expected


def test_watcher_counts_a_codex_session_once_through_its_life(tmp_path: Path) -> None:
    """Live, archived, compressed, unarchived, unpacked and resumed: 1,010 to 7,070 tokens."""
    disk = Disk(tmp_path, "codex")
    totals = []

    def total() -> int:
        disk.poll(700)
        seen = [event for event in once(disk.events) if event.event_type == "completion"]
        return sum(event.total_tokens for event in seen)

    disk.append(0)
    totals.append((total(), disk.total))
    for action in (disk.archive, disk.pack, disk.archive, disk.append, disk.archive, disk.pack):
        action(0)
        totals.append((total(), disk.total))
    assert all(found == written for found, written in totals), totals
    assert totals[-1][0] > totals[0][0]
    frame = load_transcripts(disk.home, progress=False)
    assert int(frame[list(TOKENS)].sum().sum()) == disk.total
    assert frame.attrs["files"] == 1
