"""The HTTP routes of the stored history: its events, and what each agent did lately."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from tornado.iostream import StreamClosedError

from htmlgraph_nb.core.protocol import Cursor, encode_json
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

from ..history.activity_counts import MAX_MINUTES
from ..history.export_worker import COMPRESSIONS, encode_request
from ..history.history_reader import HistoryReader
from ..history.text_formats import after_chunk, csv_head
from ..history.worker_pool import ExportAborted, ExportWorker
from .base import ApiError
from .json_api import Api

logger = logging.getLogger("htmlgraph.http")

DEFAULT_PAGE = 1_000
MAX_PAGE = 10_000
"""Most events in one JSON page; a longer limit takes several, or a stream."""
ORDERS = ("asc", "desc")
DEFAULT_MINUTES = 15
FORMATS = {
    "json": "application/json; charset=utf-8",
    "ndjson": "application/x-ndjson; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""Name of each format → its Content-Type."""


class History(Api):
    """``GET /api/history``: stored events, as a JSON page or as a stream of all of them."""

    _left = False
    _child: ExportWorker | None = None

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True
        if self._child is not None:
            self._child.kill()

    async def head(self) -> None:
        self._query()
        self.set_header("Content-Type", FORMATS[self._format()])

    async def get(self) -> None:
        query = self._query()
        kind = self._format()
        self.choice_parameter("compression", COMPRESSIONS, "none")
        self.set_header("Content-Type", FORMATS[kind])
        self._begun = False
        try:
            if kind == "json":
                await self._send_page(query)
            elif kind == "arrow":
                await self._send_arrow(query)
            else:
                await self._send_text(query, kind)
        except (HtmlgraphError, StreamClosedError, ExportAborted, TimeoutError) as error:
            nobody_listens = self._left or isinstance(error, StreamClosedError)
            if not self._begun and not nobody_listens:
                raise
            # An answer that breaks off must not look complete.
            logger.info("a history answer broke off: %s", error)
            self.detach().close()

    def _query(self) -> HistoryQuery:
        self.known_parameters(
            *("since", "until", "agent", "session", "tool", "feature", "event_type"),
            *("columns", "limit", "cursor", "order", "format", "compression"),
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
            newest_first=self.choice_parameter("order", ORDERS, "asc") == "desc",
        )

    def _after(self, text: str) -> int:
        cursor = Cursor.parse(text)
        epoch = self.service.hub.board.cursor.epoch
        if cursor.epoch != epoch:
            raise ApiError(
                409,
                "other_epoch",
                f"the cursor is of {cursor.epoch}, this database is {epoch}: start again",
                "cursor",
            )
        return cursor.seq

    def _format(self) -> str:
        accept = self.request.headers.get("Accept", "")
        accepted = (name for name, mime in FORMATS.items() if mime.split(";")[0] in accept)
        return self.choice_parameter("format", tuple(FORMATS), next(accepted, "json"))

    @property
    def _reader(self) -> HistoryReader:
        return self.service.history

    async def _send_page(self, query: HistoryQuery) -> None:
        size = min(query.limit or DEFAULT_PAGE, MAX_PAGE)
        n_rows, last = 0, query.after_seq
        self.write('{"events":[')
        async for chunk in self._reader.chunks(replace(query, limit=size), "json"):
            if n_rows:
                # One piece is in memory at a time.
                await self._flush()
                self.write(",")
            self.write(chunk.body)
            n_rows, last = n_rows + chunk.n_rows, chunk.last_seq
        more = False
        if n_rows == size:
            following = replace(query, after_seq=last, limit=1, columns=("seq",))
            more = bool((await self._reader.chunk(following, "json")).n_rows)
        cursor = Cursor(self.service.hub.board.cursor.epoch, last)
        self.write(f'],"cursor":{encode_json(str(cursor))},"more":{encode_json(more)}}}\n')
        self.finish()

    async def _send_text(self, query: HistoryQuery, kind: str) -> None:
        """Send a short answer as it is; what a first chunk does not hold comes from a child."""
        chunk = await self._reader.chunk(query, kind)
        if kind == "csv":
            self.write(csv_head(query.row_columns))
        self.write(chunk.body)
        rest = after_chunk(query, chunk)
        if rest is not None:
            await self._send_of_child(encode_request(self._reader.path, rest, kind))
        self.finish()

    async def _send_arrow(self, query: HistoryQuery) -> None:
        compression = self.choice_parameter("compression", COMPRESSIONS, "none")
        await self._send_of_child(encode_request(self._reader.path, query, "arrow", compression))
        self.finish()

    async def _send_of_child(self, question: bytes) -> None:
        async with self.service.export_pool.open(question) as child:
            self._child = child
            # The client may have left while it waited for its turn.
            self._check_left()
            await child.begin()
            async for piece in child.pieces():
                self.write(piece)
                await self._flush()

    async def _flush(self) -> None:
        """Wait until the client has read what was written: memory stays at one piece.

        Raises:
            StreamClosedError: it left; TimeoutError: it reads nothing for too long.
        """
        self._check_left()
        self._begun = True
        try:
            await asyncio.wait_for(self.flush(), self.service.config.hub.stall_timeout_s)
        except TimeoutError:
            raise TimeoutError("its reader has stalled") from None
        self._check_left()

    def _check_left(self) -> None:
        if self._left:
            raise StreamClosedError


class Activity(Api):
    """``GET /api/activity``: events and errors of each agent in each of the last minutes."""

    async def get(self) -> None:
        self.known_parameters("minutes")
        minutes = self.int_parameter("minutes", DEFAULT_MINUTES, 1, MAX_MINUTES)
        body = await self.service.activity.answer(minutes)
        self.set_header("Content-Type", FORMATS["json"])
        self.finish(body)

    head = get
