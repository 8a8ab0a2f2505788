"""Authenticator: token, cookie, Host and Origin, each by itself and combined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_server.access.auth import Authenticator, Credentials, Refusal
from htmlgraph_server.access.token_cache import TokenCache
from htmlgraph_server.config import Config

TOKEN = "correct-horse-battery"
OWN = Credentials(host="127.0.0.1:8000", origin=None, authorization="", query_token="", cookie="")
FOREIGN = "https://evil.example"


def authenticator(**settings: Any) -> Authenticator:
    """Return the Authenticator of a Config."""
    return Authenticator(Config(db="unused.db", **settings), TokenCache("unused.db"))


def cookie_of(auth: Authenticator) -> str:
    """Return the cookie that a browser gets for the token."""
    return auth.cookies_for(TOKEN)[auth.cookie_name]


def code(
    auth: Authenticator, credentials: Credentials, *, checks_origin: bool = True
) -> str | None:
    """Return the code of the refusal; None if the request is allowed."""
    refusal = auth.check(credentials, checks_origin=checks_origin)
    return refusal.code if isinstance(refusal, Refusal) else None


@pytest.mark.parametrize(
    ("host", "local"),
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
        ("[::1]", True),
        ("127.0.0.1:", True),
        ("[::1].evil.example", False),
        ("[::1]evil", False),
        ("[::1]:8000:evil", False),
        ("[::1]:evil", False),
        ("[evil.example]", False),
        ("::1", False),
        ("localhost:8000:evil", False),
        ("localhost:evil", False),
        ("localhost:8000@evil.example", False),
        ("localhost/evil.example", False),
        ("localhost evil.example", False),
        ("localhost\n", False),
    ],
)
def test_host_must_be_local_without_token(host: str, local: bool) -> None:
    """Without a token only local names are allowed, for reads too."""
    expected = None if local else "host_refused"
    assert code(authenticator(), replace(OWN, host=host), checks_origin=False) == expected


def test_allow_hosts_ignores_case() -> None:
    """With a token the Host is not checked."""
    auth = authenticator(allow_hosts=("Hub.Example",))
    assert code(auth, replace(OWN, host="hub.example:80")) is None
    assert code(auth, replace(OWN, host="other.example")) == "host_refused"
    credentials = replace(OWN, host="any.example", authorization=f"Bearer {TOKEN}")
    assert code(authenticator(token=TOKEN, host="0.0.0.0"), credentials) is None


@pytest.mark.parametrize(
    ("origin", "allowed"),
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
        ("HTTP://127.0.0.1:8000", True),
        ("evil://127.0.0.1:8000", False),
        ("file://127.0.0.1:8000", False),
        ("//127.0.0.1:8000", False),
        ("://127.0.0.1:8000", False),
        ("127.0.0.1:8000", False),
        ("http://user@127.0.0.1:8000", False),
        ("http://127.0.0.1:8000/path", False),
        ("http://", False),
        ("http://127.0.0.1:8000 http://evil.example", False),
    ],
)
def test_origin_must_be_own(origin: str | None, allowed: bool) -> None:
    """Writes and WebSockets have no Origin or the server's own."""
    credentials = replace(OWN, origin=origin)
    assert code(authenticator(), credentials) == (None if allowed else "origin_refused")
    assert code(authenticator(), credentials, checks_origin=False) is None


def test_origin_null_does_not_match_empty_host() -> None:
    """An Origin without a host does not match an empty Host."""
    credentials = replace(OWN, host="", origin="null", cookie=cookie_of(authenticator(token=TOKEN)))
    assert code(authenticator(token=TOKEN), credentials) == "origin_refused"


def test_allow_origins_ignores_case_and_trailing_slash() -> None:
    """The scheme must match."""
    auth = authenticator(allow_origins=("https://Hub.example/",))
    assert code(auth, replace(OWN, origin="https://hub.example")) is None
    assert code(auth, replace(OWN, origin="http://hub.example")) == "origin_refused"


@pytest.mark.parametrize(
    ("credentials", "allowed"),
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
def test_token_is_accepted_in_header_and_query(credentials: dict[str, str], allowed: bool) -> None:
    """The whole token is required, and the cookie is not the token."""
    expected = None if allowed else "token_needed"
    assert code(authenticator(token=TOKEN), replace(OWN, **credentials)) == expected


def test_token_header_overrides_origin_check() -> None:
    """A page cannot set the header, but any page's request carries the cookie."""
    auth = authenticator(token=TOKEN)
    foreign = replace(OWN, origin=FOREIGN)
    assert code(auth, replace(foreign, authorization=f"Bearer {TOKEN}")) is None
    assert code(auth, replace(foreign, cookie=cookie_of(auth))) == "origin_refused"
    assert code(auth, replace(OWN, cookie=cookie_of(auth))) is None


def test_cookie_differs_from_token_and_by_token() -> None:
    """It is not accepted as a token, and two servers on one host use two cookies."""
    auth, other = authenticator(token=TOKEN), authenticator(token="another-token")
    assert TOKEN not in cookie_of(auth)
    assert not auth.is_token(cookie_of(auth))
    assert auth.cookie_name != other.cookie_name
    assert code(other, replace(OWN, cookie=cookie_of(auth))) == "token_needed"


def test_empty_token_is_never_valid() -> None:
    """Without a token the empty string is not accepted as one."""
    auth = authenticator()
    assert not auth.needs_token
    assert not auth.is_token("")
    assert authenticator(token=TOKEN).needs_token


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
def test_check_refuses_arbitrary_credentials(credentials: Credentials) -> None:
    """No input raises, and the message does not contain the token."""
    refusal = authenticator(token=TOKEN).check(credentials, checks_origin=True)
    assert isinstance(refusal, Refusal)
    assert refusal.status in (401, 403)
    assert TOKEN not in refusal.message
