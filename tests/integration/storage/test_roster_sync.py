"""RosterSync: the subscribers of committed changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.presence import PresenceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    """A manager with its own file."""
    with PresenceManager(str(tmp_path / "h.db")) as opened:
        yield opened


def test_failing_subscriber_fails_neither_write_nor_next_subscriber(
    manager: PresenceManager, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is stored, so its sender must not send it again."""
    seqs: list[int] = []

    def fail(_: ChangeBatch) -> None:
        raise RuntimeError("loop is closed")

    manager.subscribe(fail)
    unsubscribe = manager.subscribe(
        lambda batch: seqs.extend(change.seq for change in batch.changes)
    )
    assert manager.update_presence("a", "prompt").seq == 1
    assert seqs == [1]
    assert re.search(r"subscriber .* failed", caplog.text)
    unsubscribe()
    unsubscribe()
    manager.update_presence("a", "prompt")
    assert seqs == [1]
