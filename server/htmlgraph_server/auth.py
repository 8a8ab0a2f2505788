"""Who may talk to the standalone server: token, Host and Origin.

A browser sends what any page tells it to; it adds Origin and Host itself. So a request that shows
the token in a header is believed; any other must come from a page of this server.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from .config import Config, is_loopback

COOKIE = "htmlgraph_token"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows of itself; None or "" where it shows nothing."""

    host: str
    origin: str | None
    authorization: str
    query_token: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: HTTP status, code and text of the error."""

    status: int
    code: str
    message: str


class Authenticator:
    """Decides over requests by the rules of one Config."""

    def __init__(self, config: Config) -> None:
        self._token = config.token
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.allow_origins)
        self._hosts = frozenset(
            {config.host.strip("[]").lower(), *(host.lower() for host in config.allow_hosts)}
        )
        # The cookie is not the token: who reads a browser's cookies cannot use it elsewhere.
        self.cookie_value = hashlib.sha256(b"cookie:" + config.token.encode()).hexdigest()

    @property
    def cookie_name(self) -> str:
        """Name of the cookie; different tokens on one host name do not overwrite each other."""
        return f"{COOKIE}_{self.cookie_value[:8]}"

    @property
    def needs_token(self) -> bool:
        """Whether requests must show the token."""
        return bool(self._token)

    def is_token(self, text: str) -> bool:
        """Return whether ``text`` is the token, in time that does not depend on it."""
        return bool(self._token) and hmac.compare_digest(text.encode(), self._token.encode())

    def check(self, shown: Credentials, *, guarded_origin: bool) -> Refusal | None:
        """Return why the request is refused; None: it may pass.

        Args:
            guarded_origin: the request writes or opens a WebSocket, so its Origin counts.
        """
        if not self._token and not self._host_allowed(shown.host):
            return Refusal(
                403,
                "host_refused",
                f"this server does not know itself as {shown.host[:100]!r}; "
                "add the name with --allow-hosts",
            )
        scheme, _, bearer = shown.authorization.partition(" ")
        if scheme.lower() in ("bearer", "token") and self.is_token(bearer.strip()):
            return None
        if guarded_origin and not self._origin_allowed(shown):
            return Refusal(
                403,
                "origin_refused",
                f"Origin {(shown.origin or '')[:100]!r} is not this server's; "
                "add it with --allow-origins",
            )
        if not self._token or self.is_token(shown.query_token) or self._is_cookie(shown.cookie):
            return None
        return Refusal(
            401,
            "token_needed",
            "this server needs its token: send the header 'Authorization: Bearer TOKEN', "
            "or open the page once with ?token=TOKEN",
        )

    def _is_cookie(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.cookie_value.encode())

    def _host_allowed(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return "@" not in host and (is_loopback(name) or name in self._hosts)

    def _origin_allowed(self, shown: Credentials) -> bool:
        if shown.origin is None:
            return True
        origin = shown.origin.rstrip("/").lower()
        if origin in self._origins:
            return True
        try:
            netloc = urlsplit(origin).netloc
        except ValueError:
            return False
        # "null" and other Origins without a host are nobody's, whatever the Host is.
        return bool(netloc) and netloc == shown.host.lower()
