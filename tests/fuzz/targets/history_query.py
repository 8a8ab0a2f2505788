"""Parameters of ``/api/history`` and ``/api/activity``, and the queries that they become."""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from types import SimpleNamespace
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from htmlgraph_nb.core.protocol import Cursor
from htmlgraph_nb.errors import ApiError, InvalidEvent, WireError
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_server.handlers.history_handlers import HistoryHandler
from htmlgraph_server.history.export_worker import _decode_query, encode_request
from tests.fuzz.oracle import check_error, require
from tests.fuzz.targets import split_variant
from tests.helpers.databases import FOLDER

EPOCH = "5f3a9c0de1b24a68"


class _Handler(HistoryHandler):
    """A handler without a connection."""

    def __init__(self, query: str, accept: str) -> None:
        headers = HTTPHeaders({"Accept": accept, "Host": "localhost"})
        connection: Any = SimpleNamespace(context=None)
        line = RequestStartLine("GET", f"/api/history?{query}", "HTTP/1.1")
        self.request = HTTPServerRequest(headers=headers, connection=connection, start_line=line)

    @property
    def service(self) -> Any:
        published = SimpleNamespace(cursor=Cursor(EPOCH, 1_000))
        return SimpleNamespace(hub=SimpleNamespace(published=published))


def run(data: bytes) -> None:
    """Parse a query string, and run the query."""
    accept, body = split_variant(data, ("json", "text/csv", "application/vnd.apache.arrow.stream"))
    # Tornado decodes the first line of a request as Latin-1, and accepts no white space in it.
    text = "".join(body.decode("latin-1").split())
    try:
        handler = _Handler(text, accept)
        query = handler._query()
        format_ = handler._format()
        handler.int_parameter("limit", 0, 1, 2**53 - 1)
    except (ApiError, InvalidEvent, WireError) as error:
        check_error(error)
        return
    request = json.loads(encode_request("a.db", query, format_))
    require(_lists(_decode_query(request["query"])) == _lists(query), "another query is exported")
    statement, values = query.to_sql()
    rows = _database().execute(statement, values).fetchall()
    order = [row[0] for row in rows]
    require(order == sorted(order, reverse=query.newest_first), "another order")
    require(query.limit is None or len(rows) <= query.limit, "more rows than the limit")
    require(len(set(order)) == len(order), "a row twice")


def _lists(query: HistoryQuery) -> dict[str, Any]:
    """Return the attributes of a query; JSON has no tuples."""
    values = {name: getattr(query, name) for name in HistoryQuery.__slots__}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@cache
def _database() -> sqlite3.Connection:
    from htmlgraph_nb.storage.migrations import migrate

    db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    db.executescript((FOLDER / "version-5.sql").read_text(encoding="utf-8"))
    migrate(db, ":memory:")
    return db
