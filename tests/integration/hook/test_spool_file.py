"""The spool on a full disk, and with something else in its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.hook.spool_file import spool
from htmlgraph_nb.ingest.spool import events_from_spool
from tests.helpers.database_files import run_python

_FILL_DISK = """
import resource, signal, sys
from htmlgraph_nb.hook.spool_file import spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    print(spool(sys.argv[2].encode(), sys.argv[1]))
except OSError as error:
    print(error)
"""


def hook_line(session: str) -> bytes:
    """Return the line of a hook call."""
    return json.dumps({"session_id": session, "hook_event_name": "Stop"}).encode()


def sessions_of(path: Path) -> tuple[list[str | None], list[int]]:
    """Return the sessions of the spooled events, and the numbers of broken lines."""
    events, broken = events_from_spool(path.read_bytes(), utc_now())
    return [event.session_id for event in events], broken


def test_spool_after_cut_line_starts_on_its_own_line(tmp_path: Path) -> None:
    """A full disk cuts a line off; its event is reported as lost, and the next ones are kept."""
    path = tmp_path / "spool.jsonl"
    assert spool(hook_line("a"), str(path))
    cut = path.stat().st_size + 20
    done = run_python(_FILL_DISK, str(path), hook_line("b").decode(), str(cut))
    assert "only 20 of" in done.stdout, (done.stdout, done.stderr)
    assert path.stat().st_size == cut
    assert spool(hook_line("c"), str(path))
    assert spool(hook_line("d"), str(path))
    assert sessions_of(path) == (["a", "c", "d"], [2])
    assert path.read_bytes().count(b"\n") == 4


def test_spool_on_full_disk_raises(tmp_path: Path) -> None:
    """Not a byte fits."""
    path = tmp_path / "spool.jsonl"
    spool(hook_line("a"), str(path))
    size = path.stat().st_size
    done = run_python(_FILL_DISK, str(path), hook_line("b").decode(), str(size))
    assert "File too large" in done.stdout, (done.stdout, done.stderr)
    assert path.stat().st_size == size


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_spool_does_not_wait_for_named_pipe(tmp_path: Path) -> None:
    """A named pipe in its place is an error at once."""
    path = tmp_path / "spool.jsonl"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        spool(hook_line("a"), str(path))
