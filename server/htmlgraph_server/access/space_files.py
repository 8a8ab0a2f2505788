"""Where the spaces of a database are."""

from __future__ import annotations

import os

from .identity import DEFAULT_SPACE
from .token_table import check_space


def spaces_folder(db: str) -> str:
    """Return the folder with the spaces of a database."""
    return f"{os.path.realpath(db)}.spaces"


def space_db(db: str, name: str) -> str:
    """Return the database of a space.

    Args:
        db: the database of the server.
        name: the name of the space.

    Raises:
        ConfigError: the name is not valid.
    """
    if name == DEFAULT_SPACE:
        return db
    return os.path.join(spaces_folder(db), f"{check_space(name)}.db")
