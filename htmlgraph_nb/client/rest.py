"""Blocking HTTP calls to a server's routes."""

from __future__ import annotations

import http.client
import io
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..core.model import AgentPresence, Event
from ..core.protocol import COLUMNS_TYPE, decode_json, encode_json
from ..core.timestamps import to_rfc3339
from ..errors import ConnectError, ServerNotFound, ServerRefused, WireError
from ..storage.query import NAME_FILTERS, HistoryQuery
from .connection_state import connect_error_text, parse_error_body
from .discovery import Address, Candidate, not_found_text

if TYPE_CHECKING:
    import pyarrow as pa

_TIMEOUT_S = 10.0
_PAGE_EVENTS = 10_000
_ARROW = "application/vnd.apache.arrow.stream"
_READ_BYTES = 1 << 20


def history_parameters(query: HistoryQuery) -> list[tuple[str, str]]:
    """Return a query as the parameters of ``GET /api/history``.

    Raises:
        ValueError: the query has ``after_seq`` or ``seq_range``, which servers do not support.
    """
    if query.after_seq or query.seq_range is not None:
        raise ValueError("after_seq and seq_range are not supported by servers")
    parameters = [
        (parameter, value)
        for parameter, (name, _) in NAME_FILTERS.items()
        for value in getattr(query, name) or ()
    ]
    for name, timestamp in (("since", query.since), ("until", query.until)):
        if timestamp is not None:
            parameters.append((name, to_rfc3339(timestamp)))
    if query.limit is not None:
        parameters.append(("limit", str(query.limit)))
    order = "desc" if query.newest_first else "asc"
    return [*parameters, ("order", order), ("columns", ",".join(query.columns))]


class Rest:
    """Calls the routes of the first candidate that responds.

    Args:
        candidates: returns the servers to try; called for each request.
        timeout_s: seconds to wait for each step of a request.
    """

    def __init__(
        self, candidates: Callable[[], Sequence[Candidate]], timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._candidates = candidates
        self._timeout_s = timeout_s
        self._server: Candidate | None = None

    @property
    def server(self) -> Candidate:
        """The server that responded last.

        Raises:
            ServerNotFound: none has responded.
        """
        if self._server is None:
            raise ServerNotFound(not_found_text([]))
        return self._server

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON value of a route's response.

        Args:
            method: HTTP method.
            path: the route, such as ``/api/presence``.
            body: sent as JSON; None: no body.

        Raises:
            ServerNotFound: no candidate responds; the message lists each with the reason.
            ServerRefused: the server returned an error, with its message; if several servers were
                tried and each denied access, the message lists all.
            ConnectError: the connection was lost before the response; the outcome is unknown.
        """
        with self._open(method, path, body, "application/json") as (candidate, response):
            return _json_value(_read_all(response, candidate, path), candidate, path)

    @contextmanager
    def _open(
        self, method: str, path: str, body: Any, accept: str
    ) -> Iterator[tuple[Candidate, http.client.HTTPResponse]]:
        """Yield the response of the first candidate that accepts; errors as for :meth:`call`."""
        tried = []
        refusal: tuple[str, int, str | None] | None = None
        for candidate in self._candidates():
            connection = _connection(candidate.address, self._timeout_s)
            try:
                connection.connect()
            except OSError as error:
                tried.append((candidate, connect_error_text(error, self._timeout_s)))
                connection.close()
                continue
            try:
                response = self._request(connection, candidate, method, path, body, accept)
                if response.status < 300:
                    self._server = candidate
                    yield candidate, response
                    return
                code, message = parse_error_body(_read_all(response, candidate, path))
            finally:
                connection.close()
            status = response.status
            if code is None and status not in (401, 403):
                reason = f"not an htmlgraph-nb server (HTTP {status})"
                tried.append((candidate, reason))
                continue
            text = message or f"{candidate.address.url} refused (HTTP {status}); pass its token="
            if status == 401:
                text = _token_text(candidate)
            if status not in (401, 403):
                raise ServerRefused(text, status, code)
            tried.append((candidate, f"refused: HTTP {status} {text}"))
            refusal = refusal or (text, status, code)
        if refusal is None:
            raise ServerNotFound(not_found_text(tried))
        text, status, code = refusal
        raise ServerRefused(text if len(tried) == 1 else not_found_text(tried), status, code)

    def _request(
        self,
        connection: http.client.HTTPConnection,
        candidate: Candidate,
        method: str,
        path: str,
        body: Any,
        accept: str,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept, **candidate.headers}
        data = None if body is None else encode_json(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, candidate.address.base + path, data, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            reason = connect_error_text(error, self._timeout_s)
            raise _no_response(candidate, path, reason) from error

    def presence(self) -> dict[str, AgentPresence]:
        """Return all current agents; errors as for :meth:`call`."""
        rows = self.call("GET", "/api/presence")["agents"]
        return {row["agent_id"]: AgentPresence.from_dict(row) for row in rows}

    def agent(self, agent_id: str) -> AgentPresence:
        """Return one agent; raise ServerRefused with status 404 if it is unknown."""
        return AgentPresence.from_dict(
            self.call("GET", f"/api/presence/{quote(agent_id, safe='')}")
        )

    def explanation(self, agent_id: str) -> Any:
        """Return one agent with the evidence and the rules for its status, as a JSON object."""
        return self.call("GET", f"/api/presence/{quote(agent_id, safe='')}?explain=1")

    def send_events(self, events: Iterable[Event | Mapping[str, Any]]) -> Any:
        """Send events and return the server's response, which is sent after they are stored.

        Args:
            events: Event objects or dicts of their fields. Set ``event_id`` if a call may be
                repeated: a duplicate id is ignored.

        Raises:
            InvalidEvent: an event is invalid; no event is sent. Other errors as for :meth:`call`.
        """
        body = [
            (event if isinstance(event, Event) else Event.from_dict(event)).to_dict()
            for event in events
        ]
        response = self.call("POST", "/api/events", body)
        if not isinstance(response, dict) or type(response.get("accepted")) is not int:
            url = self.server.address.url
            raise ConnectError(f"{url}/api/events: this is not an htmlgraph-nb server")
        return response

    def history(
        self,
        parameters: Iterable[tuple[str, str]],
        limit: int | None = None,
        page_events: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield stored events, loading pages on demand; errors as for :meth:`call`.

        Args:
            parameters: the parameters of ``GET /api/history`` except ``cursor`` and ``limit``.
            limit: maximum number of events; None: all.
            page_events: most events of a page; None: 10,000, the maximum.
        """
        fixed, cursor = list(parameters), None
        page_events = page_events or _PAGE_EVENTS
        while limit is None or limit > 0:
            size = page_events if limit is None else min(limit, page_events)
            paging = [("limit", str(size)), *([("cursor", cursor)] if cursor else [])]
            page = self.call("GET", f"/api/history?{urlencode([*fixed, *paging])}")
            yield from page["events"]
            if not page["more"]:
                return
            cursor = page["cursor"]
            limit = None if limit is None else limit - size

    def history_batches(self, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
        """Yield stored events as Arrow batches, as the server sends them; needs pyarrow.

        Batches are read on demand. Closing the generator ends the request. The server sends few
        rows as JSON, which it makes faster than Arrow.

        Args:
            query: rows, columns, order and limit.

        Returns:
            Batches of ``arrow_schema.schema_of(query.columns)``; the dictionary of each batch
            extends that of the previous one. No batch if there are no rows.

        Raises:
            ValueError: the query has ``after_seq`` or ``seq_range``, which servers do not support.
            ConnectError: the connection was lost before the last batch. Other errors as for
                :meth:`call`.
        """
        # Optional dependency, and slow to import.
        import pyarrow as pa

        from ..storage.columnar.arrow_schema import batch_of_lists

        parameters = [*history_parameters(query), ("format", "arrow"), ("compression", "zstd")]
        path = f"/api/history?{urlencode(parameters)}"
        with self._open("GET", path, None, f"{_ARROW}, {COLUMNS_TYPE}") as (candidate, response):
            try:
                if response.headers.get_content_type() == COLUMNS_TYPE:
                    parts = [decode_json(line, "response") for line in response.read().splitlines()]
                    if parts:
                        yield batch_of_lists(query.columns, parts)
                    return
                with pa.ipc.open_stream(io.BufferedReader(response, _READ_BYTES)) as reader:
                    for batch in reader:
                        yield batch.select(list(query.columns))
                # Read the last chunk: without it the response is incomplete.
                response.read()
            except (pa.ArrowException, OSError, http.client.HTTPException, WireError) as error:
                reason = str(error) or type(error).__name__
                raise ConnectError(
                    f"{candidate.address.url}/api/history: incomplete response ({reason}); "
                    "see the server's log"
                ) from error

    def status_report(self) -> Any:
        """Return the server's own status (``GET /api/status``)."""
        return self.call("GET", "/api/status")

    def mark_offline(self, agent_id: str) -> Any:
        """Mark an agent as offline and return the server's response."""
        return self.call("POST", f"/api/presence/{quote(agent_id, safe='')}/offline")

    def mark_viewed(self, agent_id: str) -> Any:
        """Report that a person looked at an agent and return the server's response."""
        return self.call("POST", f"/api/presence/{quote(agent_id, safe='')}/viewed")


def _token_text(candidate: Candidate) -> str:
    url = candidate.address.url
    if candidate.token is None:
        return f'{url} needs its token: pass token="…", or set HTMLGRAPH_TOKEN'
    return f"{url} refused the token: it is not the one with which the server was started"


def _connection(address: Address, timeout_s: float) -> http.client.HTTPConnection:
    if not address.secure:
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(
        address.host, address.port, timeout=timeout_s, context=context
    )


def _read_all(response: http.client.HTTPResponse, candidate: Candidate, path: str) -> bytes:
    try:
        return response.read()
    except (OSError, http.client.HTTPException) as error:
        raise _no_response(candidate, path, str(error) or type(error).__name__) from error


def _no_response(candidate: Candidate, path: str, reason: str) -> ConnectError:
    return ConnectError(f"{candidate.address.url}{path}: no response ({reason})")


def _json_value(body: bytes, candidate: Candidate, path: str) -> Any:
    try:
        return decode_json(body, "response") if body else None
    except WireError as error:
        raise ConnectError(f"{candidate.address.url}{path}: {error}") from error
