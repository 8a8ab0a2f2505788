"""The place that history is read from where a person names none."""

from __future__ import annotations

import os

from ..paths import default_db, running_server

SCHEMES = ("http://", "https://", "ws://", "wss://")
"""Beginnings of the places that are servers; all others are paths."""


def place_of(source: str | os.PathLike[str] | None) -> str:
    """Return the path or URL of a source.

    Args:
        source: None: ``HTMLGRAPH_URL``, else the file of the server that runs on this machine, else
            the default file.
    """
    if source is not None:
        return os.fspath(source)
    if os.environ.get("HTMLGRAPH_URL"):
        return os.environ["HTMLGRAPH_URL"]
    own = running_server().get("db", "")
    return own if own and os.path.exists(own) else default_db()
