"""Guard: token, cookie, Host and Origin, each by itself and together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_server.auth import Authenticator, Credentials
from htmlgraph_server.config import Config

TOKEN = "correct-horse-battery"
OWN = Credentials(host="127.0.0.1:8000", origin=None, authorization="", query_token="", cookie="")
FOREIGN = "https://evil.example"


def guard(**settings: Any) -> Authenticator:
    """Return the Guard of a Config."""
    return Authenticator(Config(db="unused.db", **settings))


def code(of: Authenticator, shown: Credentials, *, checks_origin: bool = True) -> str | None:
    """Return the code of the refusal, None where the request may pass."""
    refusal = of.check(shown, checks_origin=checks_origin)
    return None if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8000", True),
        ("127.0.0.1", True),
        ("localhost:1", True),
        ("LOCALHOST", True),
        ("app.localhost", True),
        ("[::1]:8000", True),
        ("127.99.0.1", True),
        ("", False),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("127.0.0.1@evil.example", False),
        ("0.0.0.0", False),
        ("[", False),
        ("[::1", False),
        ("192.168.0.7", False),
    ],
)
def test_host(host: str, known: bool) -> None:
    """Without a token only names of this machine are answered, for reads too."""
    expected = None if known else "host_refused"
    assert code(guard(), replace(OWN, host=host), checks_origin=False) == expected


def test_allowed_hosts() -> None:
    """--allow-hosts adds names in any case; with a token the Host does not count."""
    of = guard(allow_hosts=("Hub.Example",))
    assert code(of, replace(OWN, host="hub.example:80")) is None
    assert code(of, replace(OWN, host="other.example")) == "host_refused"
    shown = replace(OWN, host="any.example", authorization=f"Bearer {TOKEN}")
    assert code(guard(token=TOKEN, host="0.0.0.0"), shown) is None


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("https://127.0.0.1:8000/", True),
        ("http://127.0.0.1", False),
        ("http://localhost:8000", False),
        (FOREIGN, False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("http://127.0.0.1:8000.evil.example", False),
        ("http://127.0.0.1:8000@evil.example", False),
    ],
)
def test_origin(origin: str | None, passes: bool) -> None:
    """Writes and WebSockets come from no page or from the server's own."""
    shown = replace(OWN, origin=origin)
    assert code(guard(), shown) == (None if passes else "origin_refused")
    assert code(guard(), shown, checks_origin=False) is None


def test_origin_null_of_a_request_without_host() -> None:
    """An Origin without a host does not match a Host that is empty."""
    shown = replace(OWN, host="", origin="null", cookie=guard(token=TOKEN).cookie_value)
    assert code(guard(token=TOKEN), shown) == "origin_refused"


def test_allowed_origins() -> None:
    """--allow-origins is compared in any case, with or without a last slash."""
    of = guard(allow_origins=("https://Hub.example/",))
    assert code(of, replace(OWN, origin="https://hub.example")) is None
    assert code(of, replace(OWN, origin="http://hub.example")) == "origin_refused"


@pytest.mark.parametrize(
    ("shown", "passes"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, True),
        ({"authorization": f"token  {TOKEN} "}, True),
        ({"authorization": f"Basic {TOKEN}"}, False),
        ({"authorization": TOKEN}, False),
        ({"authorization": "Bearer "}, False),
        ({"authorization": "Bearer ÿ"}, False),
        ({"query_token": TOKEN}, True),
        ({"query_token": TOKEN[:-1]}, False),
        ({"cookie": TOKEN}, False),
        ({}, False),
    ],
)
def test_token(shown: dict[str, str], passes: bool) -> None:
    """It counts in the header and where a query is accepted, whole and nowhere else."""
    expected = None if passes else "token_needed"
    assert code(guard(token=TOKEN), replace(OWN, **shown)) == expected


def test_header_goes_before_origin_and_cookie_does_not() -> None:
    """Who can set the header is no page; a cookie is sent by any page's request."""
    of = guard(token=TOKEN)
    foreign = replace(OWN, origin=FOREIGN)
    assert code(of, replace(foreign, authorization=f"Bearer {TOKEN}")) is None
    assert code(of, replace(foreign, cookie=of.cookie_value)) == "origin_refused"
    assert code(of, replace(OWN, cookie=of.cookie_value)) is None


def test_cookie_differs_from_the_token_and_between_tokens() -> None:
    """It cannot be used as a token, and two servers on one host name have two cookies."""
    of, other = guard(token=TOKEN), guard(token="another-token")
    assert TOKEN not in of.cookie_value
    assert not of.is_token(of.cookie_value)
    assert of.cookie_name != other.cookie_name
    assert code(other, replace(OWN, cookie=of.cookie_value)) == "token_needed"


def test_no_token_means_none_is_valid() -> None:
    """Without a token the empty text is not one."""
    of = guard()
    assert not of.needs_token
    assert not of.is_token("")
    assert guard(token=TOKEN).needs_token


@given(
    st.builds(
        Credentials,
        host=st.text(max_size=20),
        origin=st.none() | st.text(max_size=30),
        authorization=st.text(max_size=30),
        query_token=st.text(max_size=30),
        cookie=st.text(max_size=30),
    )
)
def test_nobody_guesses(shown: Credentials) -> None:
    """Whatever is shown, it is refused without an exception, and the text shows no token."""
    refusal = guard(token=TOKEN).check(shown, checks_origin=True)
    assert refusal is not None
    assert refusal.status in (401, 403)
    assert TOKEN not in refusal.message
