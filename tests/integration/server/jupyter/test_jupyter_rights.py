"""All routes inside Jupyter Server: its identity and authorizer decide, the table does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from htmlgraph_server.access.identity import Identity, Right
from tests.helpers.access import ALL_REQUESTS, answer, path_of, store_token
from tests.helpers.jupyter_server import TOKEN, JupyterServer, running_jupyter_server

N_AT_ONCE = 8
AUTHORIZER = "--ServerApp.authorizer_class=tests.helpers.authorizers.ReadOnlyAuthorizer"


def failures(server: JupyterServer, token: str | None, expected: dict[bool, set[str]]) -> list[str]:
    """Return the requests with another result.

    Args:
        expected: whether a route writes → codes of the refusal; empty: it is allowed.
    """

    def check(index: int) -> str:
        route, method = ALL_REQUESTS[index]
        path = path_of(route)
        if token is None and path == "/":
            # A browser is sent to the login.
            return ""
        status, code = answer(server, method, path, token)
        codes = expected[route.needs.writes]
        if not codes:
            passed = status != 403 and status < 500
        else:
            passed = status == 403 and (method == "HEAD" or code in codes)
        return "" if passed else f"{method} {path}: {status} {code}, not {codes or 'allowed'}"

    with ThreadPoolExecutor(N_AT_ONCE) as pool:
        return [text for text in pool.map(check, range(len(ALL_REQUESTS))) if text]


def test_routes_in_jupyter_accept_its_own_tokens_only(tmp_path: Path) -> None:
    """Not those of the table, whatever they may do elsewhere, nor those of other spaces."""
    home = tmp_path / "home"
    db = home / "test.db"
    tokens = [store_token(db, Identity(right=right)) for right in Right]
    tokens.append(store_token(db, Identity(space="team-a")))
    refused = {"token_needed"}
    with running_jupyter_server(home) as server:
        assert failures(server, None, {False: refused, True: refused}) == []
        for token in tokens:
            status, code = answer(server, "GET", "/api/presence", token)
            assert (status, code) == (403, "token_needed")
            assert answer(server, "POST", "/api/events", token) == (403, "token_needed")
        assert failures(server, TOKEN, {False: set(), True: set()}) == []
        assert failures(server, server.secret, {False: set(), True: set()}) == []


@pytest.mark.parametrize("own", [True, False])
def test_routes_in_jupyter_ask_the_authorizer(tmp_path: Path, own: bool) -> None:
    """With a read-only one every route that writes is refused, all others work."""
    with running_jupyter_server(tmp_path / "home", AUTHORIZER) as server:
        token = TOKEN if own else server.secret
        assert failures(server, token, {False: set(), True: {"not_authorized"}}) == []
