"""The cookie that a browser gets in exchange for the token of the server.

It holds when it expires and a signature of that. The key of the signature is derived from the token
by a slow function with a salt, so that a copied cookie does not serve to guess the token, and pages
stay signed in when the server restarts.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from functools import lru_cache

COOKIE_S = 30 * 86_400
"""Seconds for which a cookie is valid; each visit of the page renews it."""
_RENEW_S = 86_400
_PREFIX = "htmlgraph_token"
_SALT = b"htmlgraph-nb cookie"
_ITERATIONS = 100_000


class TokenCookie:
    """Issues and checks the cookies of one token.

    Args:
        token: "": there is none, and no cookie is valid.
        clock: returns seconds since 1970.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._key = _key(token)
        self._clock = clock
        self._is_used = bool(token)
        name = self._sign("name")[:8]
        self.name = f"{_PREFIX}_{name}"
        """It differs by token, so that servers on one host do not collide."""

    def issue(self) -> str:
        """Return the value of a new cookie."""
        expires = str(int(self._clock()) + COOKIE_S)
        return f"{expires}.{self._sign(expires)}"

    def is_valid(self, value: str) -> bool:
        """Return whether a value was issued for this token and has not expired."""
        return self._left_s(value) > 0

    def renew(self, value: str) -> str | None:
        """Return a new value for a valid one that is older than a day; None: keep it."""
        return self.issue() if 0 < self._left_s(value) < COOKIE_S - _RENEW_S else None

    def _left_s(self, value: str) -> float:
        expires, _, signature = value.partition(".")
        expected = self._sign(expires)
        if not self._is_used or not hmac.compare_digest(
            signature.encode(errors="surrogatepass"), expected.encode()
        ):
            return 0.0
        return min(int(expires) - self._clock(), COOKIE_S)

    def _sign(self, text: str) -> str:
        data = text.encode(errors="surrogatepass")
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()


@lru_cache(maxsize=8)
def _key(token: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", token.encode(), _SALT, _ITERATIONS)
