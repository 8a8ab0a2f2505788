"""What people, editors and file systems do to session files while they are followed."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from htmlgraph_nb.core.model import Event
from tests.integration.ingest.test_session_watcher import (
    OLD,
    Scene,
    complete_ids,
    ids,
    lines,
)


def test_watcher_follows_a_file_whose_folder_is_renamed(tmp_path: Path) -> None:
    """Nothing is lost or counted twice: events read again have the ids of before."""
    scene = Scene(tmp_path)
    written = lines(3)
    scene.add(b"".join(written[:6]))
    events = scene.poll(5)
    (scene.folder / "shop").rename(scene.folder / "store")
    scene.path = scene.folder / "store" / scene.path.name
    events += scene.poll(5)
    scene.add(b"".join(written[6:]))
    events += scene.poll(20, 40)
    assert sorted(set(ids(events)), key=str) == complete_ids(scene)


def test_watcher_reads_a_growing_file_of_an_old_date(tmp_path: Path) -> None:
    """Some file systems and tools keep the date of a file that they append to."""
    scene = Scene(tmp_path)
    written = lines(3)
    scene.add(b"".join(written[:4]))
    events = scene.poll(5)
    for line in written[4:]:
        half = len(line) // 2
        for part in (line[:half], line[half:]):
            with scene.path.open("ab") as file:
                file.write(part)
            os.utime(scene.path, (OLD, OLD))
            events += scene.poll(2)
    events += scene.poll(20, 40)
    assert sorted(set(ids(events)), key=str) == complete_ids(scene)


def test_watcher_notices_a_resumed_session_among_thousands(tmp_path: Path) -> None:
    """Within seconds of its own clock."""
    scene = Scene(tmp_path)
    for number in range(4_000):
        path = scene.folder / "shop" / f"old-{number}.jsonl"
        path.touch()
        os.utime(path, (OLD, OLD))
    assert scene.poll(2, 20) == []
    scene.path = scene.folder / "shop" / "old-3999.jsonl"
    scene.add(b"".join(lines(1)))
    began, events = scene.at, list[Event]()
    while not events and scene.at - began < 30:
        events = scene.poll(0.5, 2)
    assert events
    assert timedelta(seconds=scene.at - began) <= timedelta(seconds=10)
