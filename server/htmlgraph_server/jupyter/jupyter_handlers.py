"""The same handlers inside Jupyter Server, where Jupyter authenticates and authorizes requests."""

from __future__ import annotations

import hmac
import re
from typing import Any, cast

from jupyter_server import CallContext
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado import httputil, web
from tornado.routing import PathMatches, Rule, RuleRouter

from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ApiError

from ..access.identity import Need
from ..app import ROUTES
from ..handlers.base import CONTENT_POLICY, BaseHandler
from ..handlers.json_api import NotFoundHandler
from ..handlers.page import PageHandler, StaticFileHandler
from ..service import Service
from .service_provider import PROVIDER_SETTING, ServiceProvider

RESOURCE = "htmlgraph"
"""The resource that Jupyter's authorizer is asked to allow reading or writing."""


class JupyterAuthMixin(BaseHandler, JupyterHandler):
    """Authenticates by Jupyter: identity provider, XSRF and Origin checks, and authorizer."""

    @property
    def provider(self) -> ServiceProvider:
        """The provider of the service, which the extension has put into the settings."""
        return cast("ServiceProvider", self.settings[PROVIDER_SETTING])

    @property
    def service(self) -> Service:
        """The components of the server; ``authenticate`` has opened them."""
        return self.provider.service

    @property
    def whole_server(self) -> Service:
        """See BaseHandler: there are no spaces."""
        return self.provider.service

    def set_default_headers(self) -> None:
        """Set our security headers and those configured in Jupyter Server."""
        super().set_default_headers()
        configured = dict(self.settings.get("headers", {}))
        jupyter_policy = configured.pop("Content-Security-Policy", None)
        for name, value in configured.items():
            self.set_header(name, value)
        if jupyter_policy is not None:
            # Both policies apply. Jupyter's decides which pages may embed ours and where violations
            # are reported.
            self.set_header("Content-Security-Policy", CONTENT_POLICY)
            self.add_header("Content-Security-Policy", jupyter_policy)
            self.clear_header("X-Frame-Options")

    async def prepare(self) -> None:  # type: ignore[override]
        """See BaseHandler. Defined here because Jupyter Server requires it of every handler."""
        await super().prepare()

    def cookies_for(self, token: str | None) -> dict[str, str]:
        """See BaseHandler: Jupyter sets its own cookies."""
        return {}

    async def authenticate(self) -> None:
        """See BaseHandler.

        Raises:
            ApiError: Jupyter refuses the request.
            StoreError: the database cannot be used.
        """
        is_page = isinstance(self, PageHandler)
        if isinstance(self, StaticFileHandler):
            # Static files hold no user data, so they need no XSRF check. On JupyterHub a module
            # script could not send its XSRF token.
            self._token_authenticated = True
        if not self.check_host():
            raise ApiError(
                403,
                "host_refused",
                f"Host {shorten(self.request.host)} is not allowed; see "
                "ServerApp.local_hostnames and ServerApp.allow_remote_access",
            )
        try:
            if not self._has_own_secret():
                await JupyterHandler.prepare(self, _redirect_to_login=is_page)
        except web.HTTPError as error:
            if not hasattr(self, "_jupyter_current_user"):
                # The user could not be determined, for example because the Hub does not respond.
                raise
            if self.current_user is None:
                raise self._unauthenticated() from None
            if error.status_code == 404:
                # Jupyter's response to a foreign Origin.
                raise self._foreign_origin() from None
            raise
        if self._finished:
            return
        if self.current_user is None:
            if not is_page:
                raise self._unauthenticated()
            # Redirects to the login page.
            web.authenticated(lambda _: None)(self)
            return
        if not JupyterHandler.check_origin(self):
            raise self._foreign_origin()
        await self._authorize()
        if is_page:
            # Reading the property sets the cookie that the page's own requests send back.
            _ = self.xsrf_token
        if not self.accepts_query_token():
            # Jupyter's token parameter; the routes would refuse it as unknown.
            self.request.query_arguments.pop("token", None)
        await self.provider.open()

    def _has_own_secret(self) -> bool:
        """Return whether the request has the secret of the server file, and set its user if so."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        secret = self.provider.secret
        if not secret or scheme.lower() not in ("bearer", "token"):
            return False
        if not hmac.compare_digest(token.strip().encode(), secret.encode()):
            return False
        CallContext.set(CallContext.JUPYTER_HANDLER, self)
        # As Jupyter does for its own token: it names no user, and browsers do not send it by
        # themselves.
        user = self.identity_provider.generate_anonymous_user(self)
        self.current_user = self._jupyter_current_user = user
        self._token_authenticated = True
        return True

    def _foreign_origin(self) -> ApiError:
        origin = shorten(self.request.headers.get("Origin", ""))
        return ApiError(
            403, "origin_refused", f"Origin {origin} is not allowed; see ServerApp.allow_origin"
        )

    def _unauthenticated(self) -> ApiError:
        return ApiError(
            403,
            "token_needed",
            "not authenticated: send the header 'Authorization: token TOKEN' with the token of "
            "this Jupyter Server, or log in with a browser",
        )

    async def _authorize(self) -> None:
        action = "write" if self.needs.writes else "read"
        allowed = self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)
        if not await ensure_async(allowed):
            raise ApiError(
                403, "not_authorized", f"Jupyter's authorizer does not allow to {action} {RESOURCE}"
            )


class JupyterRoutes(RuleRouter):
    """The routes of ``app`` below a path of Jupyter Server.

    Args:
        application: Jupyter Server's Tornado application.
        base: the path, without a trailing slash.
    """

    def __init__(self, application: web.Application, base: str) -> None:
        self._application = application
        prefix = re.escape(base)
        to_page = Rule(PathMatches(f"{prefix}$"), web.RedirectHandler, {"url": f"{base}/"})
        rules = [
            Rule(
                PathMatches(f"{prefix}{route.pattern}$"),
                _jupyter_handler(route.handler),
                {"needs": route.needs},
            )
            for route in ROUTES
        ]
        not_found = Rule(
            PathMatches(".*"), _jupyter_handler(NotFoundHandler), {"needs": Need.IDENTITY}
        )
        super().__init__([to_page, *rules, not_found])

    def get_target_delegate(
        self, target: Any, request: httputil.HTTPServerRequest, **target_params: Any
    ) -> httputil.HTTPMessageDelegate | None:
        """See tornado.routing.RuleRouter."""
        return self._application.get_handler_delegate(request, target, **target_params)


def _jupyter_handler(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    """Return a subclass of the handler that Jupyter authenticates."""
    return type(f"Jupyter{handler.__name__}", (JupyterAuthMixin, handler), {})
