"""Which names are those of session files."""

from __future__ import annotations

import pytest

from htmlgraph_nb.ingest.files.session_names import (
    compression_of,
    is_session_name,
    plain_path,
    why_unread,
)


@pytest.mark.parametrize(
    "name",
    [
        *("a.jsonl", "session-1.json", "rollout-2026.jsonl.zst", "a.jsonl.gz", "a.jsonl.bz2"),
        *("a.jsonl.xz", "session-1.json.gz"),
    ],
)
def test_is_session_name_accepts_plain_and_compressed_files(name: str) -> None:
    """Compressed or not, a name of an agent's session is one, and nothing is to be said of it."""
    assert is_session_name(name)
    assert why_unread(name) is None


@pytest.mark.parametrize(
    "name", ["a.json", "notes.gz", "session-1.txt", "a.zst", ".jsonl.tmp", "sessions-index.json"]
)
def test_is_session_name_ignores_other_files(name: str) -> None:
    """Files that do not look like sessions are passed over without a word."""
    assert not is_session_name(name)
    assert why_unread(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.jsonl.lz4", "compressed as .lz4"),
        ("a.jsonl.ZIP", "compressed as .zip"),
        ("a.jsonl.bak", "does not end in .jsonl"),
        ("rollout-2025-05-01.json", "before July 2025"),
    ],
)
def test_why_unread_names_what_looks_like_a_session(name: str, reason: str) -> None:
    """The reason says what the file is."""
    assert not is_session_name(name)
    assert reason in str(why_unread(name))


def test_plain_path_is_that_of_the_unpacked_file() -> None:
    """Only the suffix of a compression is removed."""
    assert plain_path("/x/a.jsonl.zst") == plain_path("/x/a.jsonl") == "/x/a.jsonl"
    assert (compression_of("/x/a.jsonl.zst"), compression_of("/x/a.jsonl")) == (".zst", None)
