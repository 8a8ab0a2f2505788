"""The Tornado broadcast server of htmlgraph-nb."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    # Imported here because the extension imports Jupyter Server, which the server does not need.
    from .jupyter.extension import HtmlgraphExtension

    return [{"module": "htmlgraph_server.jupyter.extension", "app": HtmlgraphExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "htmlgraph-nb"}]
