"""The page at ``/`` and its files; the grid's module comes from the notebook package."""

from __future__ import annotations

import os

import htmlgraph_server
from htmlgraph_nb.errors import ApiError
from htmlgraph_nb.widget.bundle import agent_grid_module, agent_grid_styles

from ..access.identity import Need
from ..access.token_cookie import COOKIE_S
from .base import BaseHandler

_PAGE_FOLDER = os.path.join(os.path.dirname(os.path.abspath(htmlgraph_server.__file__)), "static")
_MEDIA_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
}

_files: dict[str, tuple[str, bytes]] = {}
"""Path below ``/static/`` → media type, content; filled on the first request."""


def _load_files() -> dict[str, tuple[str, bytes]]:
    files: dict[str, tuple[str, bytes]] = {}
    for folder, _, names in os.walk(_PAGE_FOLDER):
        for name in sorted(names):
            path = os.path.join(folder, name)
            mime = _MEDIA_TYPES.get(os.path.splitext(name)[1])
            if mime is not None:
                with open(path, "rb") as file:
                    key = os.path.relpath(path, _PAGE_FOLDER).replace(os.sep, "/")
                    files[key] = (f"{mime}; charset=utf-8", file.read())
    return files | {
        "agent_grid.js": ("text/javascript; charset=utf-8", agent_grid_module().encode()),
        "agent_grid.css": ("text/css; charset=utf-8", agent_grid_styles().encode()),
    }


class PageHandler(BaseHandler):
    """``GET /``: the live page; a valid ``?token=`` is replaced by a cookie."""

    def accepts_query_token(self) -> bool:
        return True

    def get(self) -> None:
        token = self.get_query_argument("token", None)
        for name, value in self.cookies_for(token).items():
            if value:
                self.set_cookie(name, value, httponly=True, samesite="Strict", max_age=COOKIE_S)
            elif self.get_cookie(name):
                self.clear_cookie(name)
        # Browsers do not send a Strict cookie to the target of a redirect that began with a link on
        # another site or in a file. The page itself removes the token.
        if token is not None and self.request.headers.get("Sec-Fetch-Site") != "cross-site":
            # Remove the token from the address bar and the browser history.
            self.redirect("./")
            return
        _send_file(self, "index.html", reads_only=not self.identity.allows(Need.ADMIN))

    head = get


class StaticFileHandler(BaseHandler):
    """``GET /static/…``: the page's files, which contain no data of agents."""

    async def authenticate(self) -> None:
        """Allow every request."""

    def get(self, *path: str) -> None:
        _send_file(self, "/".join(path))

    head = get


def _send_file(handler: BaseHandler, name: str, *, reads_only: bool = False) -> None:
    if not _files:
        _files.update(_load_files())
    file = _files.get(name)
    if file is None:
        raise ApiError(404, "not_found", f"no such file: {name[:100]}")
    mime, content = file
    if reads_only:
        # The page hides what only an admin may do.
        content = content.replace(b"<body>", b'<body data-may="read">')
    handler.set_header("Content-Type", mime)
    handler.set_header("Cache-Control", "no-cache")
    handler.finish(content)
