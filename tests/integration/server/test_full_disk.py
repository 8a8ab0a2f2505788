"""A full disk, as a limit of the size of files in a child process: clear errors, no leftovers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from htmlgraph_nb.history.export import export_history
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.helpers.database_files import history_rows
from tests.helpers.environ import clean_environ
from tests.helpers.sealed_history import check_history, fill, n_segments, sealed_files

pytest.importorskip("resource")

_LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
del sys.argv[1]
"""


def run_limited(
    n_bytes: int, code: str, *arguments: str, home: Path
) -> subprocess.CompletedProcess[str]:
    """Run code in a process whose files cannot grow beyond a size."""
    return subprocess.run(
        [sys.executable, "-c", _LIMITED + code, str(n_bytes), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=clean_environ(home),
    )


@pytest.mark.parametrize("n_bytes", [0, 1_000, 40_000])
def test_serve_names_full_disk_at_first_start(tmp_path: Path, n_bytes: int) -> None:
    """The command ends with one line, and does not say that the file is no database."""
    db = tmp_path / "test.db"
    code = "runpy.run_module('htmlgraph_server.cli', run_name='__main__', alter_sys=True)"
    flags = ("serve", "--port", "0", "--db", str(db))
    done = run_limited(n_bytes, code, *flags, home=tmp_path / "home")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert str(db) in line
    assert "disk" in line
    assert "not a valid database" not in line


_SEAL = """
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.storage.columnar.sealing import seal
try:
    seal(sys.argv[1], segment_rows=4_000)
except StoreUnavailable as error:
    print(error)
"""


def test_seal_on_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Neither a part of a segment nor an entry in the index; later it is sealed."""
    path = str(tmp_path / "h.db")
    fill(path, 8_000)
    done = run_limited(40_000, _SEAL, path, home=tmp_path / "home")
    assert "cannot write segments" in done.stdout, (done.stdout, done.stderr)
    assert sealed_files(path) == []
    assert n_segments(path) == 0
    assert seal(path, segment_rows=4_000).n_segments == 2
    check_history(path, batch_rows=1_000)


_EXPORT = """
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.history.export import export_history
try:
    export_history(sys.argv[1], sys.argv[2])
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow", "out.csv", "out.csv.gz", "out/"])
def test_export_on_full_disk_leaves_nothing(tmp_path: Path, name: str) -> None:
    """The error names the target, and with space again the same call succeeds."""
    path = str(tmp_path / "h.db")
    fill(path, 20_000)
    target = tmp_path / "exports" / name.rstrip("/")
    suffix = "/" if name.endswith("/") else ""
    done = run_limited(40_000, _EXPORT, f"{target}{suffix}", path, home=tmp_path / "home")
    assert f"cannot write {target}" in done.stdout, (done.stdout, done.stderr)
    left = [file for file in target.parent.rglob("*") if file.is_file()]
    assert [file.name for file in left] == (["_progress.parquet"] if suffix else [])
    assert export_history(f"{target}{suffix}", path).n_rows == 20_000
    assert len(history_rows(path)) == 20_000


_PRIVATE_FILE = """
from htmlgraph_nb.paths import write_private_json
try:
    write_private_json(sys.argv[1], "x" * 9_000)
except OSError as error:
    print(error)
"""


def test_write_private_json_on_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The file stays as it was."""
    path = tmp_path / "servers" / "file.json"
    path.parent.mkdir()
    path.write_text("before")
    done = run_limited(4_000, _PRIVATE_FILE, str(path), home=tmp_path / "home")
    assert "too large" in done.stdout, (done.stdout, done.stderr)
    assert [file.name for file in path.parent.iterdir()] == ["file.json"]
    assert path.read_text() == "before"
