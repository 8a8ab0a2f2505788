"""The page at ``/`` and its files; the grid's own module comes from the notebook package."""

from __future__ import annotations

import os

import htmlgraph_nb
import htmlgraph_server
from htmlgraph_nb.widget.bundle import agent_grid_module

from .base import ApiError, Guarded

_HERE = os.path.join(os.path.dirname(os.path.abspath(htmlgraph_server.__file__)), "static")
_GRID = os.path.join(os.path.dirname(os.path.abspath(htmlgraph_nb.__file__)), "static")
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
}


def _load_files() -> dict[str, tuple[str, bytes]]:
    files: dict[str, tuple[str, bytes]] = {}
    for folder in (_GRID, _HERE):
        for name in sorted(os.listdir(folder)):
            mime = _TYPES.get(os.path.splitext(name)[1])
            if mime is not None:
                with open(os.path.join(folder, name), "rb") as file:
                    files[name] = (f"{mime}; charset=utf-8", file.read())
    module = agent_grid_module().encode()
    return files | {"agent_grid.js": ("text/javascript; charset=utf-8", module)}


class Page(Guarded):
    """``GET /``: the live page; ``?token=`` is taken once and becomes a cookie."""

    def accepts_query_token(self) -> bool:
        return True

    def get(self) -> None:
        guard = self.service.authenticator
        if self.get_query_argument("token", None) is not None:
            if guard.needs_token:
                self.set_cookie(
                    guard.cookie_name, guard.cookie_value, httponly=True, samesite="Strict"
                )
            # The token leaves the address bar and the history of the browser.
            self.redirect("./")
            return
        send_file(self, "index.html")

    head = get


class StaticFile(Guarded):
    """``GET /static/…``: the page's files; they hold nothing of any agent."""

    async def authenticate(self) -> None:
        """Let everybody in."""

    def get(self, name: str) -> None:
        send_file(self, name)

    head = get


_FILES: dict[str, tuple[str, bytes]] = {}


def send_file(handler: Guarded, name: str) -> None:
    """Answer with one of the page's files, from memory.

    Raises:
        Problem: there is no such file.
    """
    if not _FILES:
        _FILES.update(_load_files())
    found = _FILES.get(name)
    if found is None:
        raise ApiError(404, "not_found", "there is no such file")
    mime, content = found
    handler.set_header("Content-Type", mime)
    handler.set_header("Cache-Control", "no-cache")
    handler.finish(content)
