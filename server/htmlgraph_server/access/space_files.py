"""Where the spaces of a database are."""

from __future__ import annotations

import hashlib
import os

from htmlgraph_nb.storage.postgres.location import in_schema, is_postgres, schema_of

from .identity import DEFAULT_SPACE
from .token_table import check_space

_MAX_SCHEMA_CHARS = 63


def spaces_folder(db: str) -> str:
    """Return the folder with the spaces of a database."""
    return f"{os.path.realpath(db)}.spaces"


def space_db(db: str, name: str) -> str:
    """Return the database of a space: a file, or a schema of the same PostgreSQL.

    Args:
        db: the database of the server.
        name: the name of the space.

    Raises:
        ConfigError: the name is not valid.
    """
    if name == DEFAULT_SPACE:
        return db
    if is_postgres(db):
        schema = f"{schema_of(db)}_{check_space(name)}"
        if "." in name or len(schema) > _MAX_SCHEMA_CHARS:
            # PostgreSQL would cut a longer name, and two teams could have the same one.
            digest = hashlib.sha256(name.encode()).hexdigest()[:20]
            schema = f"{schema_of(db)[:40]}_{digest}"
        return in_schema(db, schema)
    return os.path.join(spaces_folder(db), f"{check_space(name)}.db")
