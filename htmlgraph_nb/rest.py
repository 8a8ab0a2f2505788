"""The server's HTTP routes as calls that wait for their answer."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from .connection import describe, error_of
from .discovery import Address, Candidate, explain
from .errors import ConnectError, ServerNotFound, ServerRefused, WireError
from .model import AgentPresence, Event
from .wire import dumps, loads

TIMEOUT_S = 10.0
PAGE_EVENTS = 10_000


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
            ServerRefused: a server answered with an error; the text is the server's own.
            ConnectError: the connection broke before the answer: it is not known what was done.
        """
        tried = []
        for candidate in self._candidates():
            connection = _connection(candidate.address, self._timeout_s)
            try:
                connection.connect()
            except OSError as error:
                tried.append((candidate, describe(error, self._timeout_s)))
                connection.close()
                continue
            try:
                status, answer = _exchange(connection, candidate, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                url = candidate.address.url
                reason = describe(error, self._timeout_s)
                raise ConnectError(f"{method} {url}{path}: no answer ({reason})") from error
            finally:
                connection.close()
            if status < 300:
                return _value(answer, candidate, path)
            code, message = error_of(answer)
            if code is None and status not in (401, 403):
                reason = f"answers, but is no htmlgraph-nb server (HTTP {status})"
                tried.append((candidate, reason))
                continue
            text = message or f"{candidate.address.url} refused (HTTP {status}); give its token="
            raise ServerRefused(text, status, code)
        raise ServerNotFound(explain(tried))

    def presence(self) -> dict[str, AgentPresence]:
        """Return all agents that the server knows now; errors as in :meth:`call`."""
        rows = self.call("GET", "/api/presence")["agents"]
        return {row["agent_id"]: AgentPresence.from_dict(row) for row in rows}

    def agent(self, agent_id: str) -> AgentPresence:
        """Return one agent; ServerRefused with status 404 where it is not known."""
        return AgentPresence.from_dict(
            self.call("GET", f"/api/presence/{quote(agent_id, safe='')}")
        )

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


def _exchange(
    connection: http.client.HTTPConnection, candidate: Candidate, method: str, path: str, body: Any
) -> tuple[int, bytes]:
    headers = {"Accept": "application/json", **candidate.headers}
    data = None if body is None else dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, candidate.address.base + path, data, headers)
    response = connection.getresponse()
    return response.status, response.read()


def _value(answer: bytes, candidate: Candidate, path: str) -> Any:
    try:
        return loads(answer, "the answer") if answer else None
    except WireError as error:
        raise ConnectError(f"{candidate.address.url}{path}: {error}") from error
