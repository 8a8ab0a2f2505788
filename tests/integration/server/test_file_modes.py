"""Files and folders that the programs create belong to their user alone, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.helpers.environ import clean_environ
from tests.helpers.sealed_history import SEGMENT_ROWS, fill, sealed_files
from tests.integration.conftest import Serve

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no modes")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask that removes nothing, for this process and those it starts."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> dict[str, str]:
    """Return the modes of the files and folders below a folder that others may use."""
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}
    return {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077}


@pytest.mark.usefixtures("open_umask")
def test_server_files_are_private(serve: Serve, tmp_path: Path) -> None:
    """Database, log, index, lock, server file, list of waiting agents, and their folders."""
    home = tmp_path / "share" / "home"
    home.parent.mkdir(mode=0o700)
    server = serve(home=home)
    server.log_path.chmod(0o600)
    home.chmod(0o700)
    server.send("a", "permission_request")
    assert Path(f"{server.db}-wal").exists()
    assert Path(f"{server.db}-shm").exists()
    assert [*(home / "servers").iterdir()]
    assert open_to_others(tmp_path) == {}


@pytest.mark.usefixtures("open_umask")
def test_hook_files_are_private(tmp_path: Path) -> None:
    """The spool, the key and the folders above them are created by the first hook."""
    home = tmp_path / "share" / "home"
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", "claude"],
        input=b'{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"Bash",'
        b'"tool_input":{"command":"ls"}}',
        env=clean_environ(home, {"HTMLGRAPH_URL": "http://127.0.0.1:9"}),
        check=False,
    )
    assert done.returncode == 0
    assert (home / "spool.jsonl").exists()
    assert open_to_others(tmp_path) == {}


@pytest.mark.usefixtures("open_umask")
def test_segments_are_private(tmp_path: Path) -> None:
    """The folders above a database, its segments and their folder."""
    path = str(tmp_path / "one" / "two" / "h.db")
    fill(path, 3 * SEGMENT_ROWS)
    seal(path, segment_rows=SEGMENT_ROWS)
    assert sealed_files(path)
    assert open_to_others(tmp_path) == {}


@pytest.mark.usefixtures("open_umask")
def test_database_keeps_the_mode_that_its_user_gave_it(tmp_path: Path) -> None:
    """A file that is shared with a group stays shared."""
    path = tmp_path / "h.db"
    PresenceManager(str(path)).close()
    path.chmod(0o660)
    with PresenceManager(str(path)) as manager:
        manager.update_presence("a", "prompt")
        wal = Path(f"{path}-wal").stat().st_mode
    assert [stat.S_IMODE(mode) for mode in (path.stat().st_mode, wal)] == [0o660, 0o660]
