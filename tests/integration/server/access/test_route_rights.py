"""All routes of a real server, with each kind of token, and without."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from htmlgraph_nb.core.protocol import CloseCode
from htmlgraph_server.access.identity import Identity, Need, Right
from tests.helpers.access import ALL_REQUESTS, answer, path_of, revoke_token, store_token
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until

OWNER = "the-token-of-the-owner"
REFUSED = 401
N_AT_ONCE = 8


@pytest.fixture(scope="module")
def tokens() -> dict[str, str | None]:
    """Kind of token → its text; filled with the server."""
    return {"no token": None, "wrong": "hgnb_wrong", "other": "a-wrong-token"}


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str | None]
) -> Iterator[Server]:
    """A server with ``--token`` and tokens of its table."""
    home = tmp_path_factory.mktemp("rights") / "home"
    db = home / "test.db"
    for right in Right:
        tokens[right.value] = store_token(db, Identity(right=right, label=right.value))
    tokens["expired"] = store_token(db, Identity(label="expired"), -1.0)
    tokens["revoked"] = store_token(db, Identity(label="revoked"))
    tokens["owner"] = OWNER
    with running(home, "--token", OWNER) as server:
        assert answer(server, "GET", "/api/presence", tokens["revoked"])[0] == 200
        revoke_token(db, "revoked")
        wait_until(
            lambda: answer(server, "GET", "/api/presence", tokens["revoked"])[0] == REFUSED,
            "the revoked token is refused",
        )
        yield server


def expected_refusal(kind: str, needs: Need) -> tuple[int, str] | None:
    """Return status and code with which a route refuses a token; None: it does not."""
    if needs is Need.NOTHING:
        return None
    codes = {"wrong": "token_unknown", "revoked": "token_unknown", "expired": "token_expired"}
    if kind in ("no token", "other", *codes):
        return REFUSED, codes.get(kind, "token_needed")
    right = Right.ADMIN if kind == "owner" else Right(kind)
    return None if Identity(right=right).allows(needs) else (403, "not_permitted")


@pytest.mark.parametrize(
    "kind",
    [
        *("no token", "wrong", "other", "expired", "revoked"),
        *("read", "write", "admin", "owner"),
    ],
)
def test_routes_allow_what_the_table_says(
    guarded: Server, tokens: dict[str, str | None], kind: str
) -> None:
    """Every route and both WebSockets, with every method."""

    def check(index: int) -> str:
        route, method = ALL_REQUESTS[index]
        status, code = answer(guarded, method, path_of(route), tokens[kind])
        refusal = expected_refusal(kind, route.needs)
        if refusal is None:
            passed = status not in (401, 403) and status < 500
        else:
            passed = status == refusal[0] and (method == "HEAD" or code == refusal[1])
        return "" if passed else f"{method} {path_of(route)}: {status} {code}, not {refusal}"

    with ThreadPoolExecutor(N_AT_ONCE) as pool:
        failures = [text for text in pool.map(check, range(len(ALL_REQUESTS))) if text]
    assert failures == []


def test_write_token_reports_and_reads_nothing(
    guarded: Server, tokens: dict[str, str | None]
) -> None:
    """Not even what a report changed."""
    headers = {"Authorization": f"Bearer {tokens['write']}"}
    event = {"agent_id": "claude-w", "event_type": "prompt"}
    sent = guarded.request("POST", "/api/events", event, headers, token=False)
    assert sent.json()["accepted"] == 1
    feature = "/api/broadcast/features/f1/status"
    ids = {"X-Agent-ID": "claude-w", "X-Session-ID": "s"}
    for status in ("todo", "done"):
        body = {"new_status": status}
        changed = guarded.request("POST", feature, body, {**headers, **ids}, token=False).json()
        assert changed["old_status"] is None
        assert changed["clients_notified"] is None
    owner = guarded.request("POST", feature, {"new_status": "todo"}, ids).json()
    assert owner["old_status"] == "done"


def test_agent_prefix_limits_every_way_of_reporting(tmp_path: Path) -> None:
    """Events, their parents, frames, hooks, resources and OTLP."""
    db = tmp_path / "home" / "test.db"
    token = store_token(db, Identity(right=Right.WRITE, agent_prefix="ci-"))
    headers = {"Authorization": f"Bearer {token}"}
    with running(tmp_path / "home", "--token", OWNER) as server:

        def status(path: str, body: object, **more: str) -> int:
            names = {name.replace("_", "-"): value for name, value in more.items()}
            return server.request("POST", path, body, {**headers, **names}, token=False).status

        def event(agent_id: str, **fields: str) -> dict[str, str]:
            return {"agent_id": agent_id, "event_type": "prompt", **fields}

        assert status("/api/events", event("ci-1")) == 200
        assert status("/api/events", [event("ci-1"), event("x")]) == 400
        assert status("/api/events", event("ci-1", parent_agent_id="x")) == 400
        hook = {"session_id": "s", "hook_event_name": "UserPromptSubmit", "cwd": "/", "prompt": ""}
        assert status("/api/hooks/claude", hook) == 400
        feature = "/api/broadcast/features/f1"
        assert status(feature, {}, X_Agent_ID="x", X_Session_ID="s") == 400
        assert status(feature, {}, X_Agent_ID="ci-1", X_Session_ID="s") == 200
        values = {"session.id": "s", "tool_name": "Bash", "success": "true"}
        pairs = [{"key": key, "value": {"stringValue": text}} for key, text in values.items()]
        log = {"body": {"stringValue": "claude_code.tool_result"}, "attributes": pairs}
        logs = {"resourceLogs": [{"scopeLogs": [{"scope": {}, "logRecords": [log]}]}]}
        exported = server.request("POST", "/v1/logs", logs, headers, token=False).json()
        assert str(exported["partialSuccess"]["rejectedLogRecords"]) == "1"
        assert "ci-" in exported["partialSuccess"]["errorMessage"]
        with connect(server.ws("/ws/events"), additional_headers=headers) as socket:
            socket.send('{"agent_id":"x","event_type":"prompt"}')
            reply = socket.recv(60)
            assert "ci-" in str(reply)
            assert '"error"' in str(reply)
        assert set(server.presence()) == {"ci-1"}


def read_to_end(socket: ClientConnection) -> None:
    """Read until the server closes the connection."""
    while True:
        socket.recv(60)


@pytest.mark.parametrize("path", ["/ws/broadcasts", "/ws/events"])
def test_revocation_closes_open_websockets(tmp_path: Path, path: str) -> None:
    """Those of the token, and of no other."""
    db = tmp_path / "home" / "test.db"
    ending = store_token(db, Identity(label="ending"))
    staying = store_token(db, Identity(label="staying"))
    with running(tmp_path / "home", "--token", OWNER) as server:
        url = f"ws{server.url.removeprefix('http')}{path}"
        with (
            connect(url, additional_headers={"Authorization": f"Bearer {ending}"}) as first,
            connect(url, additional_headers={"Authorization": f"Bearer {staying}"}) as second,
        ):
            revoke_token(db, "ending")
            with pytest.raises(ConnectionClosed) as closed:
                read_to_end(first)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CloseCode.POLICY
            assert "revoked" in closed.value.rcvd.reason
            second.ping().wait(60)


def test_cookie_of_a_token_opens_the_page(tmp_path: Path) -> None:
    """It ends with the token, and does not contain it."""
    db = tmp_path / "home" / "test.db"
    token = store_token(db, Identity(right=Right.READ, label="wall"))
    with running(tmp_path / "home", "--token", OWNER) as server:
        opened = server.request("GET", f"/?token={token}", token=False)
        assert opened.status == 302
        (cookie,) = (text.partition(";")[0] for text in opened.cookies if "Max-Age=2592000" in text)
        assert token not in cookie
        headers = {"Cookie": cookie}
        page = server.request("GET", "/", headers=headers, token=False)
        assert 'data-may="read"' in page.text
        assert server.request("GET", "/api/presence", headers=headers, token=False).status == 200
        muted = server.request(
            "POST", "/api/alerts/mute", {"seconds": 1}, {**headers, "Origin": server.url}, False
        )
        assert muted.error["code"] == "not_permitted"
        revoke_token(db, "wall")
        wait_until(
            lambda: (
                server.request("GET", "/api/presence", headers=headers, token=False).status
                == REFUSED
            ),
            "the cookie is refused",
        )


def test_loopback_without_token_stays_admin(tmp_path: Path) -> None:
    """Also beside tokens; but a token that is wrong or ended is refused, not ignored."""
    db = tmp_path / "home" / "test.db"
    read = store_token(db, Identity(right=Right.READ))
    expired = store_token(db, Identity(), -1.0)
    with running(tmp_path / "home") as server:
        assert answer(server, "POST", "/api/alerts/mute", None)[0] == 400
        assert answer(server, "POST", "/api/alerts/mute", read) == (403, "not_permitted")
        assert answer(server, "GET", "/api/presence", expired) == (401, "token_expired")
        assert answer(server, "GET", "/api/presence", "hgnb_none") == (401, "token_unknown")
