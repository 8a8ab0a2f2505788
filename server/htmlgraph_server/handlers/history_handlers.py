"""Routes of the stored history: events, recent activity and usage limits."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from tornado.iostream import StreamClosedError

from htmlgraph_nb.core.protocol import COLUMNS_TYPE, Cursor, encode_json
from htmlgraph_nb.errors import ApiError, HtmlgraphError
from htmlgraph_nb.storage.file_guard import check_guarded
from htmlgraph_nb.storage.query import NAME_FILTERS, HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

from ..history.activity_counts import MAX_ACTIVITY_MINUTES
from ..history.export_worker import COMPRESSIONS, encode_request
from ..history.history_reader import HistoryReader
from ..history.text_formats import csv_header, remaining_query
from ..history.worker_pool import ExportWorker
from .json_api import JsonHandler

logger = logging.getLogger(__name__)

DEFAULT_PAGE_EVENTS = 1_000
MAX_PAGE_EVENTS = 10_000
"""Maximum number of events in one JSON page; a higher limit takes several pages, or a stream."""
HISTORY_ORDERS = ("asc", "desc")
DEFAULT_ACTIVITY_MINUTES = 15
HISTORY_FORMATS = {
    "json": "application/json; charset=utf-8",
    "ndjson": "application/x-ndjson; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""Format → Content-Type."""


class HistoryHandler(JsonHandler):
    """``GET /api/history``: stored events, as a JSON page or as a stream of all of them."""

    _disconnected = False
    _started = False
    _worker: ExportWorker | None = None

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._disconnected = True
        if self._worker is not None:
            self._worker.kill()

    async def head(self) -> None:
        self._query()
        self.set_header("Content-Type", HISTORY_FORMATS[self._format()])

    async def get(self) -> None:
        query = self._query()
        format_ = self._format()
        self.choice_parameter("compression", COMPRESSIONS, "none")
        self.set_header("Content-Type", HISTORY_FORMATS[format_])
        try:
            if format_ == "json":
                await self._send_page(query)
            elif format_ == "arrow":
                await self._send_arrow(query)
            else:
                await self._send_text(query, format_)
        except (HtmlgraphError, StreamClosedError, TimeoutError) as error:
            disconnected = self._disconnected or isinstance(error, StreamClosedError)
            if not self._started and not disconnected:
                raise
            # Cut the connection, so that a truncated response does not look complete.
            logger.info("history response aborted: %s", error)
            self.detach().close()
            self.leave_space()

    def _query(self) -> HistoryQuery:
        self.allow_parameters(
            *("since", "until", "columns", "limit", "cursor", "order", "format", "compression"),
            *NAME_FILTERS,
        )
        columns = self.string_parameter("columns")
        cursor = self.string_parameter("cursor")
        limit = self.int_parameter("limit", 0, 1, 2**53 - 1)
        filters: dict[str, Any] = {
            name: self.list_parameter(key) for key, (name, _) in NAME_FILTERS.items()
        }
        return HistoryQuery(
            since=self.time_parameter("since"),
            until=self.time_parameter("until"),
            # A repeated name is one column.
            columns=tuple(dict.fromkeys(columns.split(","))) if columns else HISTORY_COLUMNS,
            after_seq=self._after_seq(cursor) if cursor else 0,
            limit=limit or None,
            newest_first=self.choice_parameter("order", HISTORY_ORDERS, "asc") == "desc",
            **filters,
        )

    def _after_seq(self, text: str) -> int:
        cursor = Cursor.parse(text)
        epoch = self.service.hub.published.cursor.epoch
        if cursor.epoch != epoch:
            raise ApiError(
                409,
                "other_epoch",
                f"cursor: expected epoch {epoch}, got {cursor.epoch} of another database; "
                "start again without a cursor",
                "cursor",
            )
        return cursor.seq

    def _format(self) -> str:
        accept = self.request.headers.get("Accept", "")
        accepted = (name for name, mime in HISTORY_FORMATS.items() if mime.split(";")[0] in accept)
        return self.choice_parameter("format", tuple(HISTORY_FORMATS), next(accepted, "json"))

    @property
    def _reader(self) -> HistoryReader:
        return self.service.history

    async def _send_page(self, query: HistoryQuery) -> None:
        size = min(query.limit or DEFAULT_PAGE_EVENTS, MAX_PAGE_EVENTS)
        n_rows, last_seq = 0, query.after_seq
        self.write('{"events":[')
        async for chunk in self._reader.chunks(replace(query, limit=size), "json"):
            if n_rows:
                # Keep one chunk in memory at a time.
                await self._flush()
                self.write(",")
            self.write(chunk.body)
            n_rows, last_seq = n_rows + chunk.n_rows, chunk.last_seq
        more = False
        if n_rows == size:
            next_row = replace(query, after_seq=last_seq, limit=1, columns=("seq",))
            more = bool((await self._reader.chunk(next_row, "json", is_first=False)).n_rows)
        cursor = Cursor(self.service.hub.published.cursor.epoch, last_seq)
        self.write(f'],"cursor":{encode_json(str(cursor))},"more":{encode_json(more)}}}\n')
        self.finish()

    async def _send_text(self, query: HistoryQuery, format_: str) -> None:
        """Send the first chunk directly, and the rest from an export worker."""
        chunk = await self._reader.chunk(query, format_)
        if format_ == "csv":
            self.write(csv_header(query.row_columns))
        self.write(chunk.body)
        rest = remaining_query(query, chunk)
        if rest is not None:
            await self._send_export(encode_request(self._reader.path, rest, format_))
        self.finish()

    async def _send_arrow(self, query: HistoryQuery) -> None:
        """Send few rows as columns if the client accepts them: starting a worker takes longer."""
        if COLUMNS_TYPE in self.request.headers.get("Accept", ""):
            body = await self._reader.small_result(query)
            if body is not None:
                self.set_header("Content-Type", COLUMNS_TYPE)
                self.finish(body)
                return
        compression = self.choice_parameter("compression", COMPRESSIONS, "none")
        await self._send_export(encode_request(self._reader.path, query, "arrow", compression))
        self.finish()

    async def _send_export(self, request: bytes) -> None:
        check_guarded(self._reader.path)
        async with self.service.export_pool.open(request) as worker:
            self._worker = worker
            # The client may have disconnected while this waited for a worker.
            self._check_connected()
            await worker.wait_started()
            async for piece in worker.output():
                self.write(piece)
                await self._flush()

    async def _flush(self) -> None:
        """Wait until the client has read the output: memory is limited to one piece.

        Raises:
            StreamClosedError: the client disconnected.
            TimeoutError: the client stopped reading.
        """
        self._check_connected()
        self._started = True
        try:
            await asyncio.wait_for(self.flush(), self.service.config.hub.stall_timeout_s)
        except TimeoutError:
            raise TimeoutError("the client stopped reading") from None
        self._check_connected()

    def _check_connected(self) -> None:
        if self._disconnected:
            raise StreamClosedError


class ActivityHandler(JsonHandler):
    """``GET /api/activity``: events and errors of each agent in each of the last minutes."""

    async def get(self) -> None:
        self.allow_parameters("minutes")
        minutes = self.int_parameter("minutes", DEFAULT_ACTIVITY_MINUTES, 1, MAX_ACTIVITY_MINUTES)
        body = await self.service.activity.response(minutes)
        self.set_header("Content-Type", HISTORY_FORMATS["json"])
        self.finish(body)

    head = get


class QuotasHandler(JsonHandler):
    """``GET /api/quotas``: the last report of each usage window, with its forecast."""

    async def get(self) -> None:
        self.allow_parameters()
        await self.service.quotas.refresh()
        self.send_json({"quotas": self.service.quotas.rows()})

    head = get
