"""The routes as a service of JupyterHub, below its prefix, authenticated by the Hub."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable
from typing import Any

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado import web
from tornado.routing import PathMatches, Rule

from htmlgraph_nb.core.protocol import CloseCode
from htmlgraph_nb.errors import ApiError

from ..access.auth import Credentials, Refusal
from ..access.gate import Gate
from ..access.identity import Identity, Need
from ..access.spaces import Spaces
from ..app import ROUTES, log_request
from ..handlers.base import BaseHandler
from ..handlers.json_api import NotFoundHandler
from ..handlers.page import PageHandler
from ..handlers.websockets import WebSocketBase
from .hub_identity import hub_identity

RECHECK_S = 60.0
"""Seconds between two questions to the Hub whether the user of an open WebSocket still may."""


class HubAuthMixin(HubOAuthenticated, BaseHandler):  # type: ignore[misc, unused-ignore]
    """Accepts what BaseHandler accepts, and the users, tokens and services of the Hub."""

    async def identify(self, credentials: Credentials) -> Identity | Refusal:
        """See BaseHandler.

        Raises:
            ApiError: the Hub does not respond.
        """
        checked = await super().identify(credentials)
        if not isinstance(checked, Refusal) or checked.code != "token_needed":
            return checked
        try:
            model = await self.hub_auth.get_user(self, sync=False)
        except web.HTTPError as error:
            raise _unavailable() from error
        return checked if model is None else hub_identity(model)

    async def authenticate(self) -> None:
        """See BaseHandler; a browser without a user is sent to the login of the Hub."""
        try:
            await super().authenticate()
        except ApiError as error:
            if error.code != "token_needed" or not isinstance(self, PageHandler):
                raise
            self.redirect(self.get_login_url())
            return
        if isinstance(self, PageHandler):
            # Reading the property sets the cookie that the page's own requests send back.
            _ = self.xsrf_token


class HubSocketMixin(HubAuthMixin, WebSocketBase):
    """A WebSocket that ends when its user may not use it any more."""

    _recheck: asyncio.Task[None] | None = None
    _hub_token = ""

    async def identify(self, credentials: Credentials) -> Identity | Refusal:
        """See HubAuthMixin."""
        checked = await super().identify(credentials)
        # The headers are dropped once the WebSocket is open.
        self._hub_token = self.hub_auth.get_token(self) or ""
        return checked

    def open(self, *args: str, **kwargs: str) -> Awaitable[None] | None:
        """See WebSocketBase."""
        if getattr(self, "_cached_hub_user", None) is not None:
            self._recheck = asyncio.get_running_loop().create_task(self._check_again())
        return super().open(*args, **kwargs)

    def on_close(self) -> None:
        """See WebSocketBase."""
        super().on_close()
        if self._recheck is not None:
            self._recheck.cancel()

    async def _check_again(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            # Of a Hub that does not respond, the last answer counts.
            with contextlib.suppress(web.HTTPError):
                model = await self.hub_auth.user_for_token(
                    self._hub_token, use_cache=False, sync=False
                )
                if model is None or hub_identity(model) != self.identity:
                    self.close(CloseCode.POLICY, "JupyterHub changed what this user may do")
                    return


def _unavailable() -> ApiError:
    return ApiError(503, "hub_unavailable", "JupyterHub does not respond; retry later")


def make_hub_app(spaces: Spaces, gate: Gate) -> web.Application:
    """Return the Tornado application of spaces as a service of JupyterHub.

    Its address, prefix and token are in the environment that the Hub sets (JUPYTERHUB_…).
    """
    hub_auth = HubOAuth.instance()
    base = re.escape(hub_auth.base_url.rstrip("/"))
    rules = [
        Rule(
            PathMatches(f"{base}{route.pattern}$"),
            _hub_handler(route.handler),
            {"needs": route.needs},
        )
        for route in ROUTES
    ]
    callback = Rule(PathMatches(f"{base}/oauth_callback$"), HubOAuthCallbackHandler)
    to_page = Rule(PathMatches(f"{base}$"), web.RedirectHandler, {"url": hub_auth.base_url})
    settings: dict[str, Any] = {"spaces": spaces, "gate": gate, "log_function": log_request}
    return web.Application(
        [callback, to_page, *rules],
        default_handler_class=_hub_handler(NotFoundHandler),
        default_handler_args={"needs": Need.IDENTITY},
        # After a restart browsers get their cookies again, without a login.
        cookie_secret=secrets.token_bytes(32),
        **settings,
    )


def _hub_handler(handler: type[BaseHandler]) -> type[BaseHandler]:
    mixin = HubSocketMixin if issubclass(handler, WebSocketBase) else HubAuthMixin
    return type(f"Hub{handler.__name__}", (mixin, handler), {})
