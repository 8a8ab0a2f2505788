"""Sealing by the server in the background, and by the command line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import psutil
import pytest

from htmlgraph_nb import PresenceManager, load_history
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.columnar.segment_index import SEGMENT_ROWS, list_segments, needs_sealing
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_server.background.child_process import NICENESS
from htmlgraph_server.background.sealer import Sealer
from tests.helpers.sealed_history import execute, n_segments, sealed_files
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

ROW = (
    "INSERT INTO events (ts, agent, type) SELECT 1700000000000000 + 1000000 * id, agent, type "
    "FROM events LIMIT "
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A server folder whose history has a few rows more than one segment."""
    folder = tmp_path / "home"
    folder.mkdir()
    path = str(folder / "test.db")
    with PresenceManager(path) as manager:
        manager.ingest([Event(agent_id="a", event_type="prompt") for _ in range(1_000)])
    while n_rows_of(path) <= SEGMENT_ROWS:
        execute(path, f"{ROW}50000")
    return folder


def n_rows_of(path: str) -> int:
    """Return the number of stored events."""
    with closing(open_reader(path)) as db:
        return int(db.execute("SELECT count(*) FROM events").fetchone()[0])


def test_server_seals_in_the_background(serve: Serve, home: Path) -> None:
    """A child process of the lowest priority seals while the server ingests events."""
    server = serve(home=home)
    path = str(server.db)
    wait_until(lambda: n_segments(path) == 1, "a segment", 60)
    server.send("new")
    assert len(load_history(path, agents="new")) == 1
    with closing(open_reader(path)) as db:
        wait_until(lambda: not needs_sealing(path, db), "the end of sealing")
        (segment,) = list_segments(db)
    assert segment.n_rows == SEGMENT_ROWS
    assert [file.name for file in sealed_files(path)] == [segment.file]


def test_server_with_seal_off_does_not_seal(serve: Serve, home: Path) -> None:
    """Not even after all its background tasks have run."""
    server = serve("--seal", "off", home=home)
    for name in ("first", "second"):
        with PresenceManager(str(server.db)) as manager:
            manager.update_presence(name, "prompt")
        # The thread that reads this event would have started the sealing.
        wait_until(lambda name=name: name in server.presence(), name)
    assert not [child for child in server_children(server.pid) if "sealing" in child]
    assert sealed_files(str(server.db)) == []


def server_children(pid: int) -> list[str]:
    """Return the command lines of a process's children."""
    return [" ".join(child.cmdline()) for child in psutil.Process(pid).children()]


@pytest.fixture
def waiting(home: Path) -> Iterator[Sealer]:
    """A sealer whose process only sleeps."""
    code = "import os, sys, time; os.nice(int(sys.argv[2])); time.sleep(600)"
    sealer = Sealer(str(home / "test.db"), (sys.executable, "-c", code))
    yield sealer
    sealer.close()


def test_sealer_runs_one_process_at_a_time(waiting: Sealer) -> None:
    """The next check starts no second process; ``close`` terminates the process."""
    waiting.check()
    process = waiting._process
    assert process is not None
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS, "the niceness")
    waiting.check()
    assert waiting._process is process
    waiting.close()
    assert process.poll() is not None


def test_sealer_starts_no_process_without_work(home: Path) -> None:
    """The history has too few rows for a segment."""
    path = str(home / "test.db")
    execute(path, f"DELETE FROM events WHERE id <= {n_rows_of(path) - SEGMENT_ROWS + 1}")
    sealer = Sealer(path)
    sealer.check()
    assert sealer._process is None


def test_sealer_retries_a_failed_process_with_growing_delay(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After ten minutes, then after twenty; each failure is logged."""
    now = 0.0
    failing = (sys.executable, "-c", "raise SystemExit(1)")
    sealer = Sealer(str(home / "test.db"), failing, clock=lambda: now)
    starts = []
    with caplog.at_level(logging.WARNING):
        for minute in range(45):
            now = 60.0 * minute
            sealer.check()
            if sealer._process is not None:
                starts.append(minute)
                sealer._process.wait()
                sealer.check()
    assert starts == [0, 10, 30]
    assert "failed with status 1; next attempt in 10 minutes" in caplog.text
    sealer.close()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``htmlgraph-nb``."""
    return subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_seal_and_export_commands(home: Path, tmp_path: Path) -> None:
    """Both print what they did; ``--verify`` finds damaged segments."""
    path = str(home / "test.db")
    run = command("seal", "--db", path)
    assert run.stdout.startswith("sealed 1 segments with 100,000 rows"), run
    (file,) = sealed_files(path)
    file.write_bytes(b"x" * file.stat().st_size)
    assert command("seal", "--db", path).stdout.startswith("sealed 0 segments")
    run = command("seal", "--db", path, "--verify")
    assert "1 segments were missing or damaged" in run.stdout
    target = str(tmp_path / "out.parquet")
    run = command("export", target, "--from", path, "--since", "2020-01-01", "--limit", "120")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"exported 120 events of {path} to {target} (1 file)\n"
    pd.testing.assert_frame_equal(load_history(target), load_history(path, limit=120))
    columns = ("--columns", "agent_id,seq", "--agent", "a", "--agent", "b")
    assert command("export", str(tmp_path / "out"), "--from", path, *columns).returncode == 0
    assert list(load_history(tmp_path / "out", columns=["seq", "agent_id"])) == ["seq", "agent_id"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("export", "x.parquet", "--from", "nowhere.db"), "no database at nowhere.db"),
        (("export", "x", "--since", "soon"), "--since: expected an ISO time"),
        (("export", "x", "--columns", "a,b"), "unknown column 'a', expected some of seq"),
        (("export", "x", "--limit", "0"), "expected a whole number >= 1"),
        (("export", " "), "target: expected the name of a file or folder"),
        (("export",), "required: target"),
        (("seal", "--db", "nowhere.db"), "no database at nowhere.db"),
    ],
)
def test_seal_and_export_report_errors_in_one_line(
    arguments: tuple[str, ...], expected: str
) -> None:
    """The exit status is 2."""
    run = command(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert expected in run.stderr
    assert len(run.stderr.splitlines()) == 1
