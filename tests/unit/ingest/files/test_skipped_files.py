"""SkippedFiles names each file once in the log, and all of them in reports, within limits."""

from __future__ import annotations

import pytest

from htmlgraph_nb.ingest.files.skipped_files import MAX_REPORTED, MAX_SKIPPED, SkippedFiles


def test_skipped_files_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A few by name, many by their number; a path that is gone before is not."""
    skipped = SkippedFiles()
    skipped.add("/a.jsonl", "broken")
    skipped.add("/a.jsonl", "broken")
    skipped.add("/gone.jsonl", "broken")
    skipped.remove("/gone.jsonl")
    skipped.log()
    skipped.log()
    assert caplog.messages == ["session file '/a.jsonl' is not read: broken"]
    for number in range(9):
        skipped.add(f"/{number}\n.jsonl", "odd")
    skipped.log()
    (line,) = caplog.messages[1:]
    assert line.startswith("9 files that look like sessions are not read, such as '/0\\n.jsonl'")


def test_skipped_files_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The count is complete, the list is short, and every path can be encoded."""
    skipped = SkippedFiles()
    skipped.add("/\ud800\udcff.jsonl", "odd")
    for number in range(MAX_SKIPPED + 10):
        skipped.add(f"/{number}", "odd")
    report = skipped.report()
    assert report["skipped"]["count"] == MAX_SKIPPED + 11
    assert len(report["skipped"]["files"]) == MAX_REPORTED
    assert str(report).encode()
    for _ in range(100):
        skipped.add("/1", "another reason")
        skipped.log()
    assert len(caplog.messages) == 1
    assert "/1" in skipped
    skipped.remove("/1")
    assert "/1" not in skipped


def test_skipped_homes_are_listed_once(caplog: pytest.LogCaptureFixture) -> None:
    """As the flag takes them; a flood of made-up folders has an end."""
    skipped = SkippedFiles()
    for _ in range(2):
        skipped.add_home("claude", "/home/u/.claude-work")
    assert skipped.report()["unfollowed"] == ["claude=/home/u/.claude-work"]
    assert len(caplog.messages) == 1
    for number in range(1_000):
        skipped.add_home("claude", f"/{number}")
    assert len(caplog.messages) == len(skipped.report()["unfollowed"]) == 20
