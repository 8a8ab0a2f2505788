"""The Tornado broadcast server of htmlgraph-nb."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    # What loads Jupyter Server is loaded only for it.
    from .jupyter.extension import HtmlgraphExtension

    return [{"module": "htmlgraph_server.jupyter.extension", "app": HtmlgraphExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "htmlgraph-nb"}]
