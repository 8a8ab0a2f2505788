"""Where PostgreSQL's programs are; standard library only."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path


class PostgresMissing(Exception):
    """PostgreSQL is not installed."""


@cache
def find_postgres() -> Path:
    """Return the folder with PostgreSQL's programs; Debian keeps them out of PATH.

    Raises:
        PostgresMissing: there is none.
    """
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    found = shutil.which("postgres")
    folders += [Path(found).resolve().parent] if found else []
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    raise PostgresMissing("PostgreSQL is missing (Debian: apt-get install postgresql)")


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())
