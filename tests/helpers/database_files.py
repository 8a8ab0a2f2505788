"""Database files as other programs see them."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any


def history_rows(path: str, columns: str = "seq") -> list[tuple[Any, ...]]:
    """Return rows of the history as any SQLite client sees them."""
    db = sqlite3.connect(path)
    try:
        return db.execute(f"SELECT {columns} FROM history ORDER BY seq").fetchall()
    finally:
        db.close()


def file_hashes(path: str) -> dict[str, str]:
    """Return the hashes of the file and its companions, the shared-memory index left out."""
    names = [path, f"{path}-wal", f"{path}-journal"]
    return {
        name: hashlib.sha256(Path(name).read_bytes()).hexdigest()
        for name in names
        if os.path.exists(name)
    }


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
