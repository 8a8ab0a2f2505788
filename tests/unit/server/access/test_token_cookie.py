"""Cookies of the server's token: signed, expiring, the same after a restart."""

from __future__ import annotations

import hashlib

import pytest

from htmlgraph_server.access.token_cookie import COOKIE_S, TokenCookie

TOKEN = "correct-horse-battery"


class Clock:
    """A clock that tests set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_token_cookie_survives_a_restart_and_expires() -> None:
    """Its lifetime cannot be changed, and another token does not accept it."""
    clock = Clock()
    value = TokenCookie(TOKEN, clock).issue()
    again = TokenCookie(TOKEN, clock)
    assert again.is_valid(value)
    assert not TokenCookie("another-token", clock).is_valid(value)
    assert not TokenCookie("", clock).is_valid(TokenCookie("", clock).issue())
    expires, _, signature = value.partition(".")
    assert not again.is_valid(f"{int(expires) + 1}.{signature}")
    clock.now += COOKIE_S - 1
    assert again.is_valid(value)
    clock.now += 1
    assert not again.is_valid(value)


def test_token_cookie_is_renewed_daily() -> None:
    """So that a person who visits the page each month stays signed in."""
    clock = Clock()
    cookie = TokenCookie(TOKEN, clock)
    value = cookie.issue()
    clock.now += 86_399
    assert cookie.renew(value) is None
    clock.now += 2
    renewed = cookie.renew(value)
    assert renewed is not None
    assert cookie.is_valid(renewed)
    assert cookie.renew("1." + "0" * 64) is None
    clock.now += COOKIE_S
    assert cookie.renew(renewed) is None


def test_token_cookie_is_no_plain_hash_of_the_token() -> None:
    """Who has a copy of it cannot test many tokens a second."""
    value = TokenCookie(TOKEN, Clock()).issue()
    for prefix in ("", "cookie:"):
        assert hashlib.sha256(f"{prefix}{TOKEN}".encode()).hexdigest() not in value


@pytest.mark.parametrize("value", ["", ".", "1", "x.y", "\ud800.\ud800", "9" * 999 + ".a", "-1."])
def test_token_cookie_refuses_other_text(value: str) -> None:
    """Without an error."""
    cookie = TokenCookie(TOKEN, Clock())
    assert not cookie.is_valid(value)
    assert cookie.renew(value) is None
