"""Tokens of a server, and requests to each of its routes."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from htmlgraph_nb.core.timestamps import to_micros, utc_now
from htmlgraph_nb.storage.database import open_writer
from htmlgraph_server.access.identity import Identity
from htmlgraph_server.access.token_table import add_token, new_token, remove_token
from htmlgraph_server.app import ROUTES, Route
from tests.helpers.server_process import Server

SOCKETS = ("/ws/broadcasts", "/ws/events")


def store_token(db: Path, identity: Identity, expires_in_s: float | None = None) -> str:
    """Store a new token in a database, which may be missing, and return it."""
    token, now = new_token(), to_micros(utc_now())
    expires_at = None if expires_in_s is None else now + int(expires_in_s * 1_000_000)
    with closing(open_writer(str(db), "NORMAL", 5.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        add_token(connection, token, identity, now, expires_at)
        connection.execute("COMMIT")
    return token


def revoke_token(db: Path, name: str) -> None:
    """Delete a token by its number or label."""
    with closing(open_writer(str(db), "NORMAL", 5.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert remove_token(connection, name) is not None
        connection.execute("COMMIT")


def path_of(route: Route) -> str:
    """Return an example path of a route."""
    path = re.sub(r"\(.*?\)", "claude-x", route.pattern).replace("\\", "")
    if path.startswith("/static/"):
        return "/static/page.js" if path.count("/") == 2 else "/static/pages/shell.js"
    return "/api/hooks/claude" if path.startswith("/api/hooks/") else path


def methods_of(route: Route) -> tuple[str, ...]:
    """Return the methods of a route; of a WebSocket its handshake's."""
    if path_of(route) in SOCKETS:
        return ("GET",)
    return tuple(n for n in ("GET", "HEAD", "POST") if n.lower() in vars(route.handler))


def answer(server: Server, method: str, path: str, token: str | None) -> tuple[int, str]:
    """Send a request and return the status and the code of the error; 101 for a WebSocket."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    if path in SOCKETS:
        url = f"ws{server.url.removeprefix('http')}{path}"
        try:
            with connect(url, additional_headers=headers, open_timeout=60):
                return 101, ""
        except InvalidStatus as error:
            body: Any = json.loads(error.response.body or b"{}")
            return error.response.status_code, body["error"]["code"]
    response = server.request(method, path, headers=headers, token=False)
    if response.status < 400 or method == "HEAD":
        return response.status, ""
    return response.status, response.error["code"]


ALL_REQUESTS = [(route, method) for route in ROUTES for method in methods_of(route)]
"""Each route with each of its methods."""
