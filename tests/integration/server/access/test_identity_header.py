"""``--identity-header``: a proxy that signs people in, in front of a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.server_process import Server, running

FLAGS = ("--identity-header", "X-Forwarded-User", "--groups-header", "X-Forwarded-Groups")
EVENT = {"agent_id": "x", "event_type": "prompt"}


def agents(server: Server, user: str, groups: str = "") -> list[str]:
    """Return the agents that a person sees."""
    headers = {"X-Forwarded-User": user, "X-Forwarded-Groups": groups}
    response = server.request("GET", "/api/presence", headers=headers, token=False)
    assert response.status == 200, response.text
    return [agent["agent_id"] for agent in response.json()["agents"]]


def test_identity_header_of_a_trusted_proxy(tmp_path: Path) -> None:
    """A group shares a space; without the header nothing is shown, also on loopback."""
    with running(tmp_path / "home", *FLAGS, "--trusted-proxies", "127.0.0.1") as server:
        headers = {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "team-a"}
        sent = server.request("POST", "/api/events", EVENT, headers, token=False)
        assert sent.json()["accepted"] == 1
        assert agents(server, "bob", "team-a") == ["x"]
        assert agents(server, "ada") == []
        assert agents(server, "bob", "team-b") == []
        assert server.request("GET", "/api/presence", token=False).status == 401
        foreign = {**headers, "Origin": "https://evil.example"}
        refused = server.request("POST", "/api/events", EVENT, foreign, token=False)
        assert refused.error["code"] == "origin_refused"


@pytest.mark.parametrize("path", ["/api/presence", "/", "/metrics"])
def test_identity_header_of_others_is_ignored(tmp_path: Path, path: str) -> None:
    """And logged once."""
    with running(tmp_path / "home", *FLAGS, "--trusted-proxies", "192.0.2.0/24") as server:
        for _ in range(2):
            headers = {"X-Forwarded-User": "ada"}
            assert server.request("GET", path, headers=headers, token=False).status == 401
        assert server.log().count("not in --trusted-proxies") == 1
