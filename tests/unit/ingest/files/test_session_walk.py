"""walk_sessions finds each file once, through links, and comes to an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from htmlgraph_nb.ingest.files import session_walk
from htmlgraph_nb.ingest.files.session_walk import walk_sessions


def write(path: Path) -> Path:
    """Write a file, whose folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{}\n")
    return path


def walk(root: Path) -> tuple[set[str], dict[str, str]]:
    """Return the names of the files that are found, and name → reason of the others."""
    skipped: dict[str, str] = {}
    found = walk_sessions(str(root), skipped)
    assert len(found) == len(set(found))
    assert not any(os.path.islink(path) for path in found)
    names = {os.path.basename(path): reason for path, reason in skipped.items()}
    return {os.path.basename(path) for path in found}, names


def test_walk_follows_links_once(tmp_path: Path) -> None:
    """Links to folders and files, to what is found anyway, to each other, to parents and to /."""
    root, shared = tmp_path / "root", tmp_path / "shared"
    write(root / "own/a.jsonl")
    write(shared / "shop/b.jsonl")
    single = write(tmp_path / "single/c.jsonl")
    for number in range(3):
        (root / f"link{number}").symlink_to(shared)
    (root / "own/inside").symlink_to(root / "own")
    (root / "own/file.jsonl").symlink_to(single)
    (root / "own/again.jsonl").symlink_to(single)
    (shared / "deeper").symlink_to("/")
    (shared / "shop/up").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "slash").symlink_to("/")
    (root / "loop.jsonl").symlink_to("loop.jsonl")
    found, skipped = walk(root)
    assert found == {"a.jsonl", "b.jsonl", "c.jsonl"}
    assert skipped.keys() == {"up", "slash", "loop.jsonl", "deeper"}
    assert walk_sessions(str(root / "own/file.jsonl"), {}) == [str(single.resolve())]


def test_walk_bounds_linked_trees_and_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A huge tree behind a link, and a deep one, are named; the rest is found."""
    monkeypatch.setattr(session_walk, "MAX_LINKED", 10)
    monkeypatch.setattr(session_walk, "MAX_DEPTH", 5)
    for number in range(30):
        write(tmp_path / f"huge/{number}/h{number}.jsonl")
    own = write(tmp_path / "root/own/a.jsonl")
    write(tmp_path / "root/1/2/3/4/5/6/deep.jsonl")
    (own.parent / "link").symlink_to(tmp_path / "huge")
    found, skipped = walk(tmp_path / "root")
    assert "a.jsonl" in found
    assert "deep.jsonl" not in found
    assert len(found) == 10
    assert skipped.keys() == {"link", "5"}


def test_walk_leaves_out_the_packed_copy(tmp_path: Path) -> None:
    """While Codex compresses a file, the plain one counts."""
    write(tmp_path / "a.jsonl")
    write(tmp_path / "a.jsonl.zst")
    write(tmp_path / "b.jsonl.zst")
    assert walk(tmp_path) == ({"a.jsonl", "b.jsonl.zst"}, {})
