"""The HTTP routes: translate a request, call the one who knows, translate the answer."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.iostream import StreamClosedError

from htmlgraph_nb.checks import check_text, clip
from htmlgraph_nb.connectors.registry import HOOKS
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.query import HistoryQuery
from htmlgraph_nb.schema import HISTORY_COLUMNS
from htmlgraph_nb.wire import Cursor

from .api import Api
from .base import Problem, committed
from .history import HistoryReader, to_csv, to_ndjson, to_objects
from .ingest import events_of, events_of_lines
from .openapi import document
from .status import status_report

logger = logging.getLogger("htmlgraph.http")

DEFAULT_PAGE = 1_000
MAX_PAGE = 10_000
"""Most events in one JSON page; a longer limit takes several, or a stream."""
_FORMATS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}


class Events(Api):
    """``POST /api/events``: events in; answered after the commit."""

    async def post(self) -> None:
        received = time.monotonic()
        self.known_parameters()
        header = self.request.headers.get("Content-Type", "application/json")
        kind = header.split(";")[0].strip().lower()
        if kind in ("application/x-ndjson", "application/jsonl", "application/ndjson"):
            events = events_of_lines(self.body)
        else:
            events = events_of(self.json_body())
        receipt = await committed(self.service.manager.submit(events, received))
        self.send_json(
            {
                "accepted": receipt.accepted,
                "duplicates": receipt.duplicates,
                "cursor": str(receipt.cursor),
            }
        )


class AllPresence(Api):
    """``GET /api/presence``: every agent."""

    def get(self) -> None:
        self.known_parameters()
        board = self.service.hub.board
        self.send_json(
            {
                "cursor": str(board.cursor),
                "agents": [entry.presence.to_dict() for entry in board.entries.values()],
            }
        )

    head = get


class OnePresence(Api):
    """``GET /api/presence/{agent_id}``: one agent."""

    def get(self, agent_id: str) -> None:
        self.known_parameters()
        entry = self.service.hub.board.entries.get(check_text(agent_id, "agent_id"))
        if entry is None:
            raise Problem(404, "unknown_agent", f"nothing is known of {clip(agent_id)}", "agent_id")
        self.send_json(entry.presence.to_dict())

    head = get


class Offline(Api):
    """``POST /api/presence/{agent_id}/offline``: mark one agent as offline."""

    async def post(self, agent_id: str) -> None:
        self.known_parameters()
        future = self.service.manager.submit_offline(
            check_text(agent_id, "agent_id"), time.monotonic()
        )
        if not await committed(future):
            raise Problem(404, "unknown_agent", f"nothing is known of {clip(agent_id)}", "agent_id")
        self.send_json({"success": True, "agent_id": agent_id})


class History(Api):
    """``GET /api/history``: stored events, as a JSON page or as a stream of all of them."""

    _left = False

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True

    async def head(self) -> None:
        self._query()
        self.set_header("Content-Type", f"{_FORMATS[self._format()]}; charset=utf-8")

    async def get(self) -> None:
        query = self._query()
        kind = self._format()
        if kind == "json":
            await self._send_page(query)
        else:
            await self._send_stream(query, kind)

    def _query(self) -> HistoryQuery:
        self.known_parameters(
            *("since", "until", "agent", "session", "tool", "feature", "event_type"),
            *("columns", "limit", "cursor", "format"),
        )
        columns = self.text_parameter("columns")
        cursor = self.text_parameter("cursor")
        limit = self.int_parameter("limit", 0, 1, 2**53 - 1)
        return HistoryQuery(
            since=self.time_parameter("since"),
            until=self.time_parameter("until"),
            agents=self.list_parameter("agent"),
            sessions=self.list_parameter("session"),
            tools=self.list_parameter("tool"),
            features=self.list_parameter("feature"),
            event_types=self.list_parameter("event_type"),
            # A name that is given twice is one column.
            columns=tuple(dict.fromkeys(columns.split(","))) if columns else HISTORY_COLUMNS,
            after_seq=self._after(cursor) if cursor else 0,
            limit=limit or None,
        )

    def _after(self, text: str) -> int:
        cursor = Cursor.parse(text)
        epoch = self.service.hub.board.cursor.epoch
        if cursor.epoch != epoch:
            raise Problem(
                409,
                "other_epoch",
                f"the cursor is of {cursor.epoch}, this database is {epoch}: start again",
                "cursor",
            )
        return cursor.seq

    def _format(self) -> str:
        wanted = self.text_parameter("format")
        if wanted is not None:
            if wanted not in _FORMATS:
                raise Problem(
                    400,
                    "invalid",
                    f"format is {clip(wanted)}, expected {', '.join(_FORMATS)}",
                    "format",
                )
            return wanted
        accept = self.request.headers.get("Accept", "")
        return next((name for name, mime in _FORMATS.items() if mime in accept), "json")

    @property
    def _reader(self) -> HistoryReader:
        return cast(HistoryReader, self.settings["history"])

    async def _send_page(self, query: HistoryQuery) -> None:
        size = min(query.limit or DEFAULT_PAGE, MAX_PAGE)
        names = query.row_columns
        rows: list[tuple[Any, ...]] = []
        wanted = replace(query, limit=size + 1)
        async for page in self._reader.pages(wanted):
            rows.extend(page)
            if self._left:
                break
        more = len(rows) > size
        rows = rows[:size]
        last = rows[-1][0] if rows else query.after_seq
        cursor = Cursor(self.service.hub.board.cursor.epoch, last)
        self.send_json({"events": to_objects(names, rows), "cursor": str(cursor), "more": more})

    async def _send_stream(self, query: HistoryQuery, kind: str) -> None:
        names = query.row_columns
        self.set_header("Content-Type", f"{_FORMATS[kind]}; charset=utf-8")
        if kind == "csv":
            self.write(",".join(names) + "\r\n")
        encode = to_csv if kind == "csv" else to_ndjson
        begun = False
        try:
            async for page in self._reader.pages(query):
                self.write(encode(names, page))
                # Waits until the client has read: memory stays at one page.
                begun = True
                await self.flush()
        except (HtmlgraphError, StreamClosedError) as error:
            if not begun:
                raise
            # An answer that breaks off must not look complete.
            logger.info("a history stream broke off: %s", error)
            self.detach().close()
            return
        await self.finish()


class AgentHook(Api):
    """``POST /api/hooks/{agent}``: one hook of an agent, as the hook's standard input has it."""

    async def post(self, agent: str) -> None:
        received = time.monotonic()
        translate = HOOKS.get(agent)
        if translate is None:
            known = ", ".join(HOOKS)
            raise Problem(404, "not_found", f"no hooks of {clip(agent)} are known, only {known}")
        events = translate(self.json_object(), received_at=datetime.now(UTC))
        if events:
            await committed(self.service.manager.submit(events, received))
        self.set_status(204)


class Status(Api):
    """``GET /api/status``: what the server does."""

    def get(self) -> None:
        self.known_parameters()
        self.send_json(status_report(self.service))

    head = get


class Metrics(Api):
    """``GET /metrics``: the same for Prometheus."""

    def get(self) -> None:
        self.known_parameters()
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(self.settings["metrics"]))

    head = get


class OpenApi(Api):
    """``GET /api/openapi.json``: the description of these routes."""

    def get(self) -> None:
        self.known_parameters()
        self.send_json(document())

    head = get
