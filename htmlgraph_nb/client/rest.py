"""The server's HTTP routes as calls that wait for their answer."""

from __future__ import annotations

import http.client
import io
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..core.model import AgentPresence, Event
from ..core.protocol import decode_json, encode_json
from ..core.timestamps import to_rfc3339
from ..errors import ConnectError, ServerNotFound, ServerRefused, WireError
from ..storage.query import HistoryQuery
from .connection_state import describe, error_of
from .discovery import Address, Candidate, explain

if TYPE_CHECKING:
    import pyarrow as pa

TIMEOUT_S = 10.0
PAGE_EVENTS = 10_000


ARROW = "application/vnd.apache.arrow.stream"
_READ_BYTES = 1 << 20


def history_parameters(query: HistoryQuery) -> list[tuple[str, str]]:
    """Return a query as the parameters of ``GET /api/history``.

    Raises:
        ValueError: it has ``after_seq`` or ``seq_range``, which servers do not support.
    """
    if query.after_seq or query.seq_range is not None:
        raise ValueError("after_seq and seq_range are not supported by servers")
    lists: dict[str, Sequence[str] | None] = {
        "agent": query.agents,
        "session": query.sessions,
        "tool": query.tools,
        "feature": query.features,
        "event_type": query.event_types,
    }
    found = [(name, value) for name, values in lists.items() for value in values or ()]
    for name, moment in (("since", query.since), ("until", query.until)):
        if moment is not None:
            found.append((name, to_rfc3339(moment)))
    if query.limit is not None:
        found.append(("limit", str(query.limit)))
    order = "desc" if query.newest_first else "asc"
    return [*found, ("order", order), ("columns", ",".join(query.columns))]


class Rest:
    """Calls the routes of the first candidate that answers.

    Args:
        candidates: where to look, asked anew for each call.
        timeout_s: seconds to wait for each step of a call.
    """

    def __init__(
        self, candidates: Callable[[], Sequence[Candidate]], timeout_s: float = TIMEOUT_S
    ) -> None:
        self._candidates = candidates
        self._timeout_s = timeout_s

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON value that a route answers.

        Args:
            method: HTTP method.
            path: the route, as ``/api/presence``.
            body: sent as JSON; None sends no body.

        Raises:
            ServerNotFound: no candidate answers; the text names each with its reason.
            ServerRefused: a server answered with an error, whose text this is; where several were
                tried and none let us in, the text names each.
            ConnectError: the connection broke before the answer: it is not known what was done.
        """
        with self._answered(method, path, body, "application/json") as (candidate, response):
            return _value(_all_of(response, candidate, path), candidate, path)

    @contextmanager
    def _answered(
        self, method: str, path: str, body: Any, accept: str
    ) -> Iterator[tuple[Candidate, http.client.HTTPResponse]]:
        """Hold the answer of the first candidate that says yes; errors as in :meth:`call`."""
        tried = []
        refusal: tuple[str, int, str | None] | None = None
        for candidate in self._candidates():
            connection = _connection(candidate.address, self._timeout_s)
            try:
                connection.connect()
            except OSError as error:
                tried.append((candidate, describe(error, self._timeout_s)))
                connection.close()
                continue
            try:
                response = self._ask(connection, candidate, method, path, body, accept)
                if response.status < 300:
                    yield candidate, response
                    return
                code, message = error_of(_all_of(response, candidate, path))
            finally:
                connection.close()
            status = response.status
            if code is None and status not in (401, 403):
                reason = f"answers, but is no htmlgraph-nb server (HTTP {status})"
                tried.append((candidate, reason))
                continue
            text = message or f"{candidate.address.url} refused (HTTP {status}); give its token="
            if status not in (401, 403):
                raise ServerRefused(text, status, code)
            tried.append((candidate, f"refused: HTTP {status} {text}"))
            refusal = refusal or (text, status, code)
        if refusal is None:
            raise ServerNotFound(explain(tried))
        text, status, code = refusal
        raise ServerRefused(text if len(tried) == 1 else explain(tried), status, code)

    def _ask(
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
            reason = describe(error, self._timeout_s)
            raise _unanswered(candidate, path, reason) from error

    def presence(self) -> dict[str, AgentPresence]:
        """Return all agents that the server knows now; errors as in :meth:`call`."""
        rows = self.call("GET", "/api/presence")["agents"]
        return {row["agent_id"]: AgentPresence.from_dict(row) for row in rows}

    def agent(self, agent_id: str) -> AgentPresence:
        """Return one agent; ServerRefused with status 404 where it is not known."""
        return AgentPresence.from_dict(
            self.call("GET", f"/api/presence/{quote(agent_id, safe='')}")
        )

    def explanation(self, agent_id: str) -> Any:
        """Return one agent with the evidence and the rules behind its status, as a JSON object."""
        return self.call("GET", f"/api/presence/{quote(agent_id, safe='')}?explain=1")

    def send_events(self, events: Iterable[Event | Mapping[str, Any]]) -> Any:
        """Send events and return the server's answer, which comes after they are stored.

        Args:
            events: Event objects or dicts of their fields. Give each an ``event_id`` where a call
                may be repeated: the same id twice changes nothing.

        Raises:
            InvalidEvent: one does not fit; then none is sent. Other errors as in :meth:`call`.
        """
        body = [
            (event if isinstance(event, Event) else Event.from_dict(event)).to_dict()
            for event in events
        ]
        return self.call("POST", "/api/events", body)

    def history(
        self, parameters: Iterable[tuple[str, str]], limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield stored events, page by page as they are asked for; errors as in :meth:`call`.

        Args:
            parameters: of ``GET /api/history``, without ``cursor`` and ``limit``.
            limit: most events; None: all.
        """
        fixed, cursor = list(parameters), None
        while limit is None or limit > 0:
            size = PAGE_EVENTS if limit is None else min(limit, PAGE_EVENTS)
            paging = [("limit", str(size)), *([("cursor", cursor)] if cursor else [])]
            page = self.call("GET", f"/api/history?{urlencode([*fixed, *paging])}")
            yield from page["events"]
            if not page["more"]:
                return
            cursor = page["cursor"]
            limit = None if limit is None else limit - size

    def history_batches(self, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
        """Yield stored events as Arrow batches, as the server sends them; needs pyarrow.

        The answer is read no faster than batches are asked for. A generator that is closed ends
        it.

        Args:
            query: which rows and which columns, its order and its limit.

        Returns:
            Batches of ``columns.schema_of(query.columns)``; the dictionary of a later batch begins
            with that of the one before. None where there are no rows.

        Raises:
            ValueError: the query has ``after_seq`` or ``seq_range``, which servers do not support.
            ConnectError: the connection broke before the last batch. Others as in :meth:`call`.
        """
        # Only who wants columns has it, and it takes a while to load.
        import pyarrow as pa

        parameters = [*history_parameters(query), ("format", "arrow"), ("compression", "zstd")]
        path = f"/api/history?{urlencode(parameters)}"
        with self._answered("GET", path, None, ARROW) as (candidate, response):
            try:
                with pa.ipc.open_stream(io.BufferedReader(response, _READ_BYTES)) as reader:
                    for batch in reader:
                        yield batch.select(list(query.columns))
                # Its last chunk says that it is whole.
                response.read()
            except (pa.ArrowException, OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
                raise ConnectError(
                    f"{candidate.address.url}/api/history: the answer broke off ({reason}); "
                    "the server's log says why"
                ) from error

    def status_report(self) -> Any:
        """Return what the server says of itself (``GET /api/status``)."""
        return self.call("GET", "/api/status")

    def mark_offline(self, agent_id: str) -> Any:
        """Declare an agent gone and return the server's answer."""
        return self.call("POST", f"/api/presence/{quote(agent_id, safe='')}/offline")


def _connection(address: Address, timeout_s: float) -> http.client.HTTPConnection:
    if not address.secure:
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(
        address.host, address.port, timeout=timeout_s, context=context
    )


def _all_of(response: http.client.HTTPResponse, candidate: Candidate, path: str) -> bytes:
    try:
        return response.read()
    except (OSError, http.client.HTTPException) as error:
        raise _unanswered(candidate, path, str(error) or type(error).__name__) from error


def _unanswered(candidate: Candidate, path: str, reason: str) -> ConnectError:
    return ConnectError(f"{candidate.address.url}{path}: no answer ({reason})")


def _value(answer: bytes, candidate: Candidate, path: str) -> Any:
    try:
        return decode_json(answer, "response") if answer else None
    except WireError as error:
        raise ConnectError(f"{candidate.address.url}{path}: {error}") from error
