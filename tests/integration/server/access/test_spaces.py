"""Spaces: two teams on one server see nothing of each other, by no route and no WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from htmlgraph_nb import load_history
from htmlgraph_nb.core.protocol import CloseCode
from htmlgraph_server.access.identity import Identity, Need, Right
from htmlgraph_server.access.space_files import space_db
from tests.helpers.access import ALL_REQUESTS, SOCKETS, answer, path_of, store_token
from tests.helpers.server_process import Response, Server, running
from tests.helpers.wait import wait_until

OWNER = "the-token-of-the-owner"
MARK = "zebra"
"""In every name and text that the one team reports."""
QUOTA = {
    "account": f"{MARK}-account",
    "official": True,
    "windows": [
        {"window": "5h", "minutes": 300, "used_percent": 95, "resets_at": "2150-01-14T18:00:00Z"}
    ],
}
EVENTS = [
    {
        "agent_id": f"{MARK}-agent",
        "event_type": "completion",
        "session_id": f"{MARK}-session",
        "project": f"{MARK}-project",
        "title": f"{MARK} title",
        "model": f"{MARK}-model",
        "cost_usd": 3.5,
        "input_tokens": 777_001,
    },
    {"agent_id": f"{MARK}-agent", "event_type": "quota", "extra": QUOTA},
    {"agent_id": f"{MARK}-agent", "event_type": "error", "event_id": f"{MARK}-event"},
]
RULES = """
[[rule]]
name = "zebra-rule"
kind = "quota"
"""


class Team:
    """A team: its server and its token."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        self.headers = {"Authorization": f"Bearer {token}"}
        self.token = token

    def get(self, path: str) -> Response:
        """Send a GET."""
        return self.server.request("GET", path, headers=self.headers, token=False)

    def post(self, path: str, body: Any = None, **headers: str) -> Response:
        """Send a POST."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.request("POST", path, body, {**self.headers, **names}, token=False)


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, Team, Team]]:
    """The team with reports, one without, and the default space."""
    home = tmp_path_factory.mktemp("spaces") / "home"
    db = home / "test.db"
    tokens = [store_token(db, Identity(space=name)) for name in ("team-a", "team-b")]
    rules = Path(space_db(str(db), "team-a")).with_suffix(".alerts.toml")
    rules.parent.mkdir(parents=True, mode=0o700)
    rules.write_text(RULES)
    with running(home, "--token", OWNER) as server:
        own, other, default = (Team(server, token) for token in (*tokens, OWNER))
        assert own.post("/api/events", EVENTS).json()["accepted"] == len(EVENTS)
        ids = {"X_Agent_ID": f"{MARK}-agent", "X_Session_ID": f"{MARK}-session"}
        feature = f"/api/broadcast/features/{MARK}-feature/status"
        assert own.post(feature, {"new_status": "done"}, **ids).status == 200
        yield own, other, default


def reads(team: Team, path: str) -> str:
    """Return all that a GET of a route shows; of a WebSocket its first messages."""
    if path not in SOCKETS:
        return team.get(path).text
    with connect(team.server.ws(path), additional_headers=team.headers) as socket:
        if path == "/ws/events":
            socket.send("[]")
            return str(socket.recv(60))
        seen = [str(socket.recv(60))]
        socket.send("ping")
        while seen[-1] != '{"type":"pong"}':
            seen.append(str(socket.recv(60)))
        return "\n".join(seen)


READS = [path_of(route) for route, method in ALL_REQUESTS if method == "GET"]
MORE_READS = [
    "/api/history?format=csv",
    "/api/history?format=ndjson",
    "/api/alerts?state=all",
    "/api/costs?by=project&format=csv",
    f"/api/sessions?search={MARK}",
    f"/api/presence/{MARK}-agent?explain=1",
]
OWN_READS = {
    "/api/presence",
    "/api/history",
    "/api/quotas",
    "/api/costs?by=project&format=csv",
    "/api/sessions",
    "/ws/broadcasts",
    "/metrics",
}


def test_spaces_show_nothing_of_each_other(teams: tuple[Team, Team, Team]) -> None:
    """By no GET, stream, report, metric or WebSocket; the team itself sees it."""
    own, *others = teams
    for path in OWN_READS:
        assert MARK in reads(own, path), path

    def leak(path: str) -> list[str]:
        return [f"{path}: {text}" for team in others if MARK in (text := shown(team, path))]

    def shown(team: Team, path: str) -> str:
        # The path itself is in the message about an unknown agent.
        return reads(team, path).replace(f"unknown agent '{MARK}-agent'", "")

    with ThreadPoolExecutor(4) as pool:
        leaks = [text for found in pool.map(leak, [*READS, *MORE_READS]) for text in found]
    assert leaks == []


def test_spaces_count_only_their_own(teams: tuple[Team, Team, Team]) -> None:
    """Status, cursor, duplicates, and the agents that a report can concern."""
    own, *others = teams
    with connect(own.server.ws("/ws/broadcasts"), additional_headers=own.headers) as socket:
        socket.recv(60)
        for team in others:
            status = team.get("/api/status").json()
            assert status["agents"] == {"active": 0, "idle": 0, "offline": 0}
            assert status["clients"]["total"] == 0
            assert status["updates"]["total"] == 0
            assert status["cursor"].endswith(":0")
            assert "zebra" not in json.dumps(status)
    assert len({team.get("/api/status").json()["cursor"] for team in teams}) == len(teams)
    assert {team.get("/api/status").json()["database"]["path"] for team in teams} == {
        space_db(str(own.server.db), name) for name in ("team-a", "team-b", "default")
    }


def test_spaces_cannot_change_each_other(teams: tuple[Team, Team, Team]) -> None:
    """An agent of one space is unknown in another, and equal ids are no duplicates."""
    own, other, _ = teams
    before = own.get("/api/presence").json()
    for route, method in ALL_REQUESTS:
        if method == "POST" and route.needs is Need.ADMIN:
            answer(other.server, "POST", path_of(route), other.token)
    for action in ("offline", "viewed"):
        assert other.post(f"/api/presence/{MARK}-agent/{action}").status == 404
    assert other.post("/api/alerts/mute", {"seconds": 60}).status == 200
    assert own.get("/api/alerts").json()["muted_until"] is None
    # Of the same feature, the other space knows nothing.
    ids = {"X_Agent_ID": "y", "X_Session_ID": "y"}
    feature = f"/api/broadcast/features/{MARK}-feature/status"
    changed = other.post(feature, {"new_status": "todo"}, **ids).json()
    assert (changed["old_status"], changed["clients_notified"]) == (None, 0)
    assert own.get("/api/presence").json() == before


def test_spaces_send_changes_to_their_own_dashboards(tmp_path: Path) -> None:
    """A dashboard of one space gets none of another's, and equal events count in each."""
    db = tmp_path / "home" / "test.db"
    tokens = [store_token(db, Identity(space=name)) for name in ("a", "b")]
    with running(tmp_path / "home", "--token", OWNER) as server:
        first, second = (Team(server, token) for token in tokens)
        url = server.ws("/ws/broadcasts")
        with (
            connect(url, additional_headers=first.headers) as one,
            connect(url, additional_headers=second.headers) as two,
        ):
            event = {"agent_id": "x", "event_type": "prompt", "event_id": "same"}
            assert first.post("/api/events", event).json()["accepted"] == 1
            assert second.post("/api/events", {**event, "agent_id": "y"}).json()["accepted"] == 1
            for socket, agent, foreign in ((one, '"x"', '"y"'), (two, '"y"', '"x"')):
                seen = ""
                while agent not in seen:
                    seen += str(socket.recv(60))
                assert foreign not in seen
        frame = load_history(server.url, token=tokens[0])
        assert set(frame["agent_id"].astype(str)) == {"x"}
    assert set(load_history(space_db(str(db), "b"))["agent_id"].astype(str)) == {"y"}


def test_limits_hold_over_all_spaces(tmp_path: Path) -> None:
    """Dashboards count together, and only so many spaces are open; unused ones make room."""
    db = tmp_path / "home" / "test.db"
    tokens = [store_token(db, Identity(space=name)) for name in ("a", "b")]
    flags = ("--token", OWNER, "--max-spaces", "1", "--max-clients", "1")
    with running(tmp_path / "home", *flags) as server:
        first, second = (Team(server, token) for token in tokens)
        first.post("/api/events", {"agent_id": "x", "event_type": "prompt"})
        url = server.ws("/ws/broadcasts")
        with connect(url, additional_headers=first.headers) as socket:
            socket.recv(60)
            refused = second.get("/api/presence")
            assert (refused.status, refused.error["code"]) == (503, "too_many_spaces")
            headers = {"Authorization": f"Bearer {OWNER}"}
            with connect(url, additional_headers=headers) as beyond:
                with pytest.raises(ConnectionClosed) as closed:
                    beyond.recv(60)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == CloseCode.POLICY
        wait_until(lambda: second.get("/api/presence").status == 200, "the space is closed")
        # Opened again, with what was stored.
        assert [a["agent_id"] for a in first.get("/api/presence").json()["agents"]] == ["x"]


def test_rights_hold_in_a_space(tmp_path: Path) -> None:
    """A token of another space has the same rights there as one of the default space here."""
    db = tmp_path / "home" / "test.db"
    tokens = {right: store_token(db, Identity(space="a", right=right)) for right in Right}
    with running(tmp_path / "home", "--token", OWNER) as server:
        for right, token in tokens.items():
            identity = Identity(right=right)
            for route, method in ALL_REQUESTS:
                status, code = answer(server, method, path_of(route), token)
                if identity.allows(route.needs):
                    assert status not in (401, 403), (right, route)
                else:
                    assert status == 403, (right, route)
                    assert method == "HEAD" or code == "not_permitted"
