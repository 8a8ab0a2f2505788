"""What every handler shares: who may pass, and one error shape."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from http.client import responses
from types import TracebackType
from typing import Any, TypeVar, cast

from tornado import web
from tornado.iostream import StreamClosedError

from htmlgraph_nb.core.protocol import encode_json, error_object
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import CapacityError, InvalidEvent, StoreError, WireError

from ..auth import Credentials
from ..service import Service

logger = logging.getLogger("htmlgraph.http")
T = TypeVar("T")

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'self'",
}


class ApiError(web.HTTPError):
    """An answer that says no: status, and the fields of the error shape."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(status)
        self.code = code
        self.message = message
        self.field = field


def to_api_error(error: BaseException) -> ApiError | None:
    """Return the answer to an error of the core; None where it is not one of them."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InvalidEvent):
        return ApiError(400, "invalid", error.message, error.field)
    if isinstance(error, WireError):
        return ApiError(400, "invalid_json", str(error))
    if isinstance(error, CapacityError):
        return ApiError(429, error.code, str(error))
    if isinstance(error, StoreError):
        return ApiError(503, "store_unavailable", str(error))
    return None


class Guarded(web.RequestHandler):
    """Lets a request in by the rules of the Guard, before anything of it is read."""

    guarded_origin = False
    writes_always = False
    """Whether even a GET of this route, as that of a WebSocket, changes what is stored."""

    @property
    def service(self) -> Service:
        """The parts of this server."""
        return cast(Service, self.settings["service"])

    def credentials(self) -> Credentials:
        """Return what the request shows of itself."""
        headers = self.request.headers
        query_token = self.get_query_argument("token", "") if self.accepts_query_token() else ""
        return Credentials(
            host=self.request.host,
            origin=headers.get("Origin", headers.get("Sec-WebSocket-Origin")),
            authorization=headers.get("Authorization", ""),
            query_token=query_token,
            cookie=self.get_cookie(self.service.authenticator.cookie_name) or "",
        )

    def accepts_query_token(self) -> bool:
        """Return whether ``?token=`` counts here; URLs are kept in many places, so seldom."""
        return False

    @property
    def writes(self) -> bool:
        """Whether this request may change what is stored."""
        return self.writes_always or self.request.method not in ("GET", "HEAD", "OPTIONS")

    async def authenticate(self) -> None:
        """Let the request in; one that is answered here already is finished.

        Raises:
            Problem: it may not pass.
        """
        refusal = self.service.authenticator.check(
            self.credentials(), guarded_origin=self.guarded_origin or self.writes
        )
        if refusal is not None:
            raise ApiError(refusal.status, refusal.code, refusal.message)

    async def prepare(self) -> None:
        await self.authenticate()

    def set_default_headers(self) -> None:
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = to_api_error(error) if error is not None else None
        if problem is None:
            reason = responses.get(status_code, "error")
            detail = error.log_message if isinstance(error, web.HTTPError) else None
            problem = ApiError(status_code, reason.lower().replace(" ", "_"), detail or reason)
        if problem.status_code == 405:
            methods = ", ".join(self.allowed_methods())
            problem.message = (
                f"{shorten(self.request.method or '', 20)} is not for this route: {methods}"
            )
            self.set_header("Allow", methods)
        self.set_status(problem.status_code)
        if problem.status_code == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="htmlgraph-nb"')
        if problem.status_code == 426:
            self.set_header("Upgrade", "websocket")
            self.set_header("Sec-WebSocket-Version", "13")
        if problem.status_code in (429, 503):
            self.set_header("Retry-After", "1")
        self.send_json(error_object(problem.code, problem.message, problem.field))

    def _handle_request_exception(self, e: BaseException) -> None:
        # Errors of the core are answers, not faults: they get their status before Tornado logs
        # them as uncaught.
        problem = to_api_error(e)
        super()._handle_request_exception(problem if problem is not None else e)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # Tornado would write the whole request, and a query or a header can hold a token.
        request = self.request
        if value is None or typ is None:
            return
        refused = value if isinstance(value, web.HTTPError) else to_api_error(value)
        if refused is not None:
            logger.debug("%d %s %s", refused.status_code, request.method, request.path)
        elif isinstance(value, StreamClosedError):
            logger.debug("the client of %s %s left", request.method, request.path)
        else:
            logger.error("%s %s failed", request.method, request.path, exc_info=(typ, value, tb))

    def allowed_methods(self) -> list[str]:
        """Return the methods that this route has."""
        base = web.RequestHandler
        return [
            name
            for name in self.SUPPORTED_METHODS
            if getattr(type(self), name.lower(), None) is not getattr(base, name.lower(), None)
        ]

    def text_parameter(self, name: str) -> str | None:
        """Return a parameter's text, None where it is absent."""
        values = self.request.query_arguments.get(name)
        if not values:
            return None
        if len(values) > 1:
            raise ApiError(400, "invalid", f"{name} is given {len(values)} times", name)
        try:
            text = values[0].decode()
        except UnicodeDecodeError:
            raise ApiError(400, "invalid", f"{name} is not UTF-8", name) from None
        if not text:
            raise ApiError(400, "invalid", f"{name} is empty", name)
        return text

    def send_json(self, value: Any) -> None:
        """Finish the answer with a JSON body."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(encode_json(value) + "\n")


async def committed(future: Future[T]) -> T:
    """Wait for a writer's Future without blocking the loop."""
    return await asyncio.wrap_future(future)
