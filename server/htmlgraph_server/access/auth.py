"""Authentication of the standalone server: token, Host and Origin.

Any page can make a browser send a request, but the browser itself sets Origin and Host. So a
request with the token in a header is trusted; any other must come from a page of this server.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..config import Config, is_loopback
from .identity import Identity
from .token_cache import TokenCache
from .token_cookie import TokenCookie
from .token_table import TOKEN_PREFIX, StoredToken, token_hash

_SPACE_COOKIE_PREFIX = "htmlgraph_space"
# RFC 9110 section 7.2: a name, or an IPv6 address in brackets, and a port.
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\[\]:@/?#\\\s]+))(?::[0-9]{0,5})?")
_OWNER = Identity()
"""Has ``--token``, or needs none."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The parts of a request that authenticate it; None or "" where absent.

    ``person`` is the one that a trusted proxy has authenticated.
    """

    host: str
    origin: str | None
    authorization: str
    query_token: str
    cookie: str
    space_cookie: str = ""
    person: Identity | None = None

    @property
    def has_token(self) -> bool:
        """Whether the request contains a token, right or wrong."""
        return bool(self.authorization or self.query_token or self.cookie or self.space_cookie)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: HTTP status, error code and message."""

    status: int
    code: str
    message: str


_UNKNOWN = Refusal(
    401,
    "token_unknown",
    "the token is unknown or was revoked; see: htmlgraph-nb token list",
)


class Authenticator:
    """Checks requests against the settings of one Config, and the tokens of its database.

    Args:
        config: the configuration.
        tokens: the tokens of the database.
        clock: returns seconds since 1970.
    """

    def __init__(
        self, config: Config, tokens: TokenCache, clock: Callable[[], float] = time.time
    ) -> None:
        self._token = config.token
        self._tokens = tokens
        self.space_cookie_name = f"{_SPACE_COOKIE_PREFIX}_{token_hash(config.db)[:8]}"
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.allow_origins)
        self._hosts = frozenset(
            {config.host.strip("[]").lower(), *(host.lower() for host in config.allow_hosts)}
        )
        self._cookie = TokenCookie(config.token, clock)

    @property
    def cookie_name(self) -> str:
        """Name of the cookie."""
        return self._cookie.name

    @property
    def needs_token(self) -> bool:
        """Whether requests need a token."""
        return bool(self._token)

    def is_token(self, text: str) -> bool:
        """Return whether ``text`` is the token, by a constant-time comparison."""
        return bool(self._token) and hmac.compare_digest(text.encode(), self._token.encode())

    def check(self, credentials: Credentials, *, checks_origin: bool) -> Identity | Refusal:
        """Return who sends the request, or why it is refused.

        Args:
            checks_origin: whether to check the Origin: the request writes or opens a WebSocket.
        """
        if not self._token and not self._host_allowed(credentials.host):
            return Refusal(
                403,
                "host_refused",
                f"Host {credentials.host[:100]!r} is not allowed; add it with --allow-hosts",
            )
        scheme, _, bearer = credentials.authorization.partition(" ")
        if scheme.lower() in ("bearer", "token"):
            checked = self._check_token(bearer.strip())
            if checked is not None:
                return checked
        if checks_origin and not self._origin_allowed(credentials):
            return Refusal(
                403,
                "origin_refused",
                f"Origin {(credentials.origin or '')[:100]!r} is not allowed; "
                "add it with --allow-origins",
            )
        checked = self._check_token(credentials.query_token)
        if checked is None and credentials.space_cookie:
            row = self._tokens.find_cookie(credentials.space_cookie)
            checked = _UNKNOWN if row is None else self._check_row(row)
        if checked is not None:
            return checked
        if credentials.person is not None:
            return credentials.person
        if not self._token or self._cookie.is_valid(credentials.cookie):
            return _OWNER
        return Refusal(
            401,
            "token_needed",
            "token required: send the header 'Authorization: Bearer TOKEN', "
            "or open the page once with ?token=TOKEN",
        )

    def _check_token(self, text: str) -> Identity | Refusal | None:
        """Return whose token a text is, or why it is refused; None: it is no token at all."""
        if self.is_token(text):
            return _OWNER
        row = self._tokens.find(text)
        if row is not None:
            return self._check_row(row)
        return _UNKNOWN if text.startswith(TOKEN_PREFIX) else None

    def _check_row(self, row: StoredToken) -> Identity | Refusal:
        if self._tokens.is_expired(row):
            return Refusal(401, "token_expired", "the token has expired; ask for a new one")
        self._tokens.note_use(row)
        return row.identity

    def cookies_for(self, token: str | None, cookie: str = "") -> dict[str, str]:
        """Return name → value of the cookies that replace a token; an empty value deletes one.

        Only the cookie of the token that was used last stays.

        Args:
            token: None: the request has none.
            cookie: the cookie of the request, which is renewed if there is no token.
        """
        if token is None:
            renewed = self._cookie.renew(cookie)
            return {} if renewed is None else {self.cookie_name: renewed}
        if self.is_token(token):
            return {self.cookie_name: self._cookie.issue(), self.space_cookie_name: ""}
        own = self._tokens.cookie(token)
        return {} if own is None else {self.space_cookie_name: own, self.cookie_name: ""}

    def _host_allowed(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match["address"] or match["name"]
        return is_loopback(name) or name in self._hosts

    def _origin_allowed(self, credentials: Credentials) -> bool:
        if credentials.origin is None:
            return True
        origin = credentials.origin.rstrip("/").lower()
        if origin in self._origins:
            return True
        # "null" and other Origins without a host are always foreign. The scheme may differ from the
        # connection's, because a proxy can end TLS.
        scheme, _, host = origin.partition("://")
        return scheme in ("http", "https") and bool(host) and host == credentials.host.lower()
