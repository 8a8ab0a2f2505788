"""Databases of the tests of columnar history."""

from __future__ import annotations

from pathlib import Path

import pytest

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.helpers.sealed_history import SEGMENT_ROWS, fill
from tests.integration.history.test_load import example_events


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A database of 105 events, sealed in segments of 20 rows."""
    name = str(tmp_path / "h.db")
    fill(name, 105)
    seal(name, segment_rows=SEGMENT_ROWS)
    return name


@pytest.fixture
def example_path(tmp_path: Path) -> str:
    """A database with the example events."""
    name = str(tmp_path / "h.db")
    with PresenceManager(name) as manager:
        manager.ingest(example_events())
    return name
