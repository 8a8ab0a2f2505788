"""The handlers inside Jupyter Server: the same ones, but it is Jupyter that lets requests in."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any, cast

from jupyter_server import CallContext
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado import httputil, web
from tornado.routing import PathMatches, Rule, RuleRouter

from htmlgraph_nb.core.validation import shorten

from ..app import ROUTES
from ..handlers.base import CONTENT_POLICY, ApiError, Guarded
from ..handlers.json_api import NotFound
from ..handlers.page import Page, StaticFile
from ..service import Service

if TYPE_CHECKING:
    from .extension import HtmlgraphExtension

RESOURCE = "htmlgraph"
"""What Jupyter's authorizer is asked for: to read or to write it."""


class JupyterAuthMixin(Guarded, JupyterHandler):
    """Lets a request in by Jupyter's identity provider, XSRF and Origin checks, and authorizer."""

    @property
    def extension(self) -> HtmlgraphExtension:
        """The extension that has mounted this handler."""
        return cast("HtmlgraphExtension", self.settings[RESOURCE])

    @property
    def service(self) -> Service:
        """The parts of this server."""
        return self.extension.service

    def set_default_headers(self) -> None:
        """Say what every answer of the project says, and what Jupyter Server is told to say."""
        super().set_default_headers()
        told = dict(self.settings.get("headers", {}))
        framing = told.pop("Content-Security-Policy", None)
        for name, value in told.items():
            self.set_header(name, value)
        if framing is not None:
            # Both hold; who may frame the page, and where breaches are told, is Jupyter's to say.
            self.set_header("Content-Security-Policy", CONTENT_POLICY)
            self.add_header("Content-Security-Policy", framing)
            self.clear_header("X-Frame-Options")

    async def prepare(self) -> None:  # type: ignore[override]
        """See Guarded; it is the one that a route has of its own."""
        await super().prepare()

    async def authenticate(self) -> None:
        """See Guarded."""
        is_page = isinstance(self, Page)
        if isinstance(self, StaticFile):
            # These are the same for everybody, so there is nothing to win by forging a request. On
            # JupyterHub a module script could not show its token against that.
            self._token_authenticated = True
        if not self.check_host():
            raise ApiError(
                403,
                "host_refused",
                f"this Jupyter Server does not know itself as {shorten(self.request.host)}; "
                "see its "
                "ServerApp.local_hostnames and ServerApp.allow_remote_access",
            )
        try:
            if not self._is_of_this_user():
                await JupyterHandler.prepare(self, _redirect_to_login=is_page)
        except web.HTTPError as error:
            if not hasattr(self, "_jupyter_current_user"):
                # It could not be found out who asks, as when the Hub does not answer.
                raise
            if self.current_user is None:
                raise self._unknown() from None
            if error.status_code == 404:
                # So it answers a foreign Origin.
                raise self._foreign() from None
            raise
        if self._finished:
            return
        if self.current_user is None:
            if not is_page:
                raise self._unknown()
            # To the login.
            web.authenticated(lambda _: None)(self)
            return
        if not JupyterHandler.check_origin(self):
            raise self._foreign()
        await self._authorize()
        if is_page:
            # Asked for, it is set as the cookie from which the page's own requests show it.
            _ = self.xsrf_token
        if not self.accepts_query_token():
            # Jupyter's; none of the routes' own parameters.
            self.request.query_arguments.pop("token", None)
        await self.extension.opened()

    def _is_of_this_user(self) -> bool:
        """Return whether the request shows the secret that only this server's user can read."""
        kind, _, shown = self.request.headers.get("Authorization", "").partition(" ")
        own = self.extension.secret
        known = kind.lower() in ("bearer", "token") and own
        if not known or not hmac.compare_digest(shown.strip().encode(), own.encode()):
            return False
        CallContext.set(CallContext.JUPYTER_HANDLER, self)
        # As for Jupyter's own token: it tells no name, and no browser sends it by itself.
        user = self.identity_provider.generate_anonymous_user(self)
        self.current_user = self._jupyter_current_user = user
        self._token_authenticated = True
        return True

    def _foreign(self) -> ApiError:
        origin = shorten(self.request.headers.get("Origin", ""))
        return ApiError(
            403, "origin_refused", f"{origin} is not this Jupyter Server's; see its allow_origin"
        )

    def _unknown(self) -> ApiError:
        return ApiError(
            403,
            "token_needed",
            "this Jupyter Server does not know who asks: send the header "
            "'Authorization: token TOKEN' with its token, or log in with a browser",
        )

    async def _authorize(self) -> None:
        action = "write" if self.writes else "read"
        allowed = self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)
        if not await ensure_async(allowed):
            raise ApiError(403, "not_authorized", f"Jupyter's authorizer refuses to {action} here")


class MountedRoutes(RuleRouter):
    """The route table below a path of Jupyter Server.

    Args:
        application: Jupyter Server's.
        base: the path, without a slash at its end.
    """

    def __init__(self, application: web.Application, base: str) -> None:
        self._application = application
        prefix = re.escape(base)
        to_page = Rule(PathMatches(f"{prefix}$"), web.RedirectHandler, {"url": f"{base}/"})
        rules = [Rule(PathMatches(f"{prefix}{path}$"), mounted(kind)) for path, kind in ROUTES]
        super().__init__([to_page, *rules, Rule(PathMatches(".*"), mounted(NotFound))])

    def get_target_delegate(
        self, target: Any, request: httputil.HTTPServerRequest, **target_params: Any
    ) -> httputil.HTTPMessageDelegate | None:
        """See tornado.routing.RuleRouter."""
        return self._application.get_handler_delegate(request, target, **target_params)


def mounted(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    """Return the handler that does the same for those whom Jupyter lets in."""
    return type(f"Mounted{handler.__name__}", (JupyterAuthMixin, handler), {})
