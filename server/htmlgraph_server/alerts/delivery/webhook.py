"""Sends an alert to a webhook: a POST request with a JSON body, signed with HMAC-SHA256.

The body is ``{"version": 1, "type": "alert", "sent_at": …, "attempt": …, "alert": {…}}`` with the
alert in the form of ``GET /api/alerts``. With a secret the request has the headers

    X-Htmlgraph-Timestamp: 1790000000
    X-Htmlgraph-Signature: sha256=<hex of HMAC-SHA256(secret, timestamp + "." + body)>

Receivers refuse old timestamps, so that nobody can send a recorded request again.
``X-Htmlgraph-Delivery`` is the same in each attempt to send one alert.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

from htmlgraph_nb import __version__
from htmlgraph_nb.alerts.channels import AlertChannel, check_webhook_url
from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.errors import ConfigError

from .outcome import Outcome
from .retry_delay import outcome_of_status

CONNECT_S = 5.0
"""How long DNS, TCP and TLS may take."""
MAX_RESPONSE_BYTES = 65_536
"""More of a response is not read."""
BODY_GRACE_S = 1.0
"""How long the body of a response may take: its status is known, and nobody needs the body."""
MAX_REDIRECTS = 3
_REPEATED = (307, 308)
"""The only redirects that repeat a POST request (RFC 9110 section 15.4)."""


class _EnoughRead(Exception):
    """The rest of a response is not needed."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of the signature header."""
    key, message = secret.encode(), timestamp.encode() + b"." + body
    return f"sha256={hmac.new(key, message, hashlib.sha256).hexdigest()}"


def webhook_body(delivery: Delivery, now: datetime) -> bytes:
    """Return the body of the request."""
    return encode_json(
        {
            "version": 1,
            "type": "alert",
            "sent_at": to_rfc3339(now),
            "attempt": delivery.attempts + 1,
            "alert": delivery.alert.to_dict(),
        }
    ).encode()


def webhook_headers(
    channel: AlertChannel, delivery: Delivery, body: bytes, now: datetime
) -> dict[str, str]:
    """Return the headers of the request.

    Raises:
        ConfigError: a secret cannot be read.
    """
    headers = {name: value.reveal() for name, value in channel.headers.items()}
    headers["Content-Type"] = "application/json"
    headers["User-Agent"] = f"htmlgraph-nb/{__version__}"
    headers["X-Htmlgraph-Delivery"] = str(delivery.delivery_id)
    if channel.secret is not None:
        timestamp = str(int(now.timestamp()))
        headers["X-Htmlgraph-Timestamp"] = timestamp
        headers["X-Htmlgraph-Signature"] = sign(channel.secret.reveal(), timestamp, body)
    return headers


async def send_webhook(channel: AlertChannel, delivery: Delivery, now: datetime) -> Outcome:
    """Send one alert; never raises.

    Args:
        channel: the webhook.
        delivery: the alert.
        now: the current time.
    """
    body = webhook_body(delivery, now)
    try:
        url = channel.urls[0].reveal()
        check_webhook_url(url, f"channels.{channel.name}.url")
        headers = webhook_headers(channel, delivery, body, now)
    except ConfigError as error:
        # The variable or file may be set later.
        return Outcome(str(error))
    try:
        async with asyncio.timeout(channel.timeout_s):
            return await _follow(url, headers, body, channel.timeout_s, now)
    except TimeoutError:
        return Outcome(f"no answer in {channel.timeout_s:g} s")


async def _follow(
    url: str, headers: dict[str, str], body: bytes, timeout_s: float, now: datetime
) -> Outcome:
    """Send the request, and again where the same server redirects it."""
    for _ in range(MAX_REDIRECTS + 1):
        attempt = _Attempt(url, headers, body, timeout_s)
        error = await attempt.run()
        if attempt.status is None:
            return Outcome(error)
        location = attempt.headers.get("Location", "")
        if not 300 <= attempt.status < 400 or not location:
            return outcome_of_status(attempt.status, attempt.headers, now)
        target = _join(url, location)
        if attempt.status not in _REPEATED or _origin(target) != _origin(url):
            return Outcome(
                f"the receiver redirects to another address (HTTP {attempt.status}); "
                "only 307 and 308 to the same host are followed: set the final address as url",
                final=True,
            )
        url = target
    return Outcome("the receiver redirects again and again", final=True)


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port


class DaemonResolver(Resolver):
    """Resolves each name in a daemon thread.

    asyncio's own threads would delay the end of the process until a DNS server answers.
    """

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """See tornado.netutil.Resolver."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[tuple[int, Any]]] = loop.create_future()

        def finish(addresses: list[tuple[int, Any]], error: OSError | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(addresses)
            else:
                answer.set_exception(error)

        def look_up() -> None:
            addresses: list[tuple[int, Any]] = []
            failure: OSError | None = None
            try:
                found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
                addresses = [(int(kind), address) for kind, _, _, _, address in found]
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = OSError(0, "the host name is not valid")
            # The loop may be closed meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, addresses, failure)

        threading.Thread(target=look_up, name="htmlgraph-dns", daemon=True).start()
        return await answer


class _Connector(TCPClient):
    """Keeps its connections, because the HTTP client has no way to give up a request."""

    def __init__(self) -> None:
        super().__init__(DaemonResolver())
        self.streams: list[IOStream] = []

    async def connect(self, *args: Any, **options: Any) -> IOStream:
        """See tornado.tcpclient.TCPClient."""
        stream = await super().connect(*args, **options)
        self.streams.append(stream)
        return stream


class _Attempt:
    """One request.

    Attributes:
        status: the HTTP status; None until it is received.
        headers: of the response.
    """

    def __init__(self, url: str, headers: dict[str, str], body: bytes, timeout_s: float) -> None:
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self._lines = HTTPHeaders()
        self._received = asyncio.Event()
        self._n_bytes = 0
        self._request = HTTPRequest(
            url,
            method="POST",
            headers=headers,
            body=body,
            connect_timeout=min(CONNECT_S, timeout_s),
            request_timeout=timeout_s,
            follow_redirects=False,
            header_callback=self._on_header,
            streaming_callback=self._on_data,
        )

    async def run(self) -> str:
        """Send the request and wait for the headers, and shortly for the body; return the error."""
        client = SimpleAsyncHTTPClient(force_instance=True, max_header_size=MAX_RESPONSE_BYTES)
        client.tcp_client.close()
        client.tcp_client = connector = _Connector()
        response = asyncio.ensure_future(client.fetch(self._request, raise_error=False))
        response.add_done_callback(_retrieve)
        headers = asyncio.ensure_future(self._received.wait())
        try:
            waited: set[asyncio.Future[Any]] = {response, headers}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self.status is not None:
                await asyncio.wait({response}, timeout=BODY_GRACE_S)
                return ""
            return _describe(response)
        finally:
            headers.cancel()
            client.close()
            for stream in connector.streams:
                stream.close()

    def _on_header(self, line: str) -> None:
        if line.startswith("HTTP/"):
            self._status = int(line.split(maxsplit=2)[1])
            self._lines = HTTPHeaders()
        elif line.strip():
            self._lines.parse_line(line)
        else:
            self.status = self._status
            self.headers = self._lines
            self._received.set()

    def _on_data(self, data: bytes) -> None:
        self._n_bytes += len(data)
        if self._n_bytes > MAX_RESPONSE_BYTES:
            raise _EnoughRead


def _retrieve(response: asyncio.Future[HTTPResponse]) -> None:
    """Retrieve the exception of a request that nobody waits for; asyncio would log it."""
    if not response.cancelled():
        response.exception()


def _describe(response: asyncio.Future[HTTPResponse]) -> str:
    """Return why a request failed, without its URL."""
    error = response.exception() or response.result().error
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ConnectionResetError):
        return "the receiver closed the connection"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot connect: {error.strerror}"
    if isinstance(error, HTTPClientError):
        return f"no valid answer: {error.message}"
    return f"no valid answer: {type(error).__name__}"
