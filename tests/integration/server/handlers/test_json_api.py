"""The HTTP routes of a real server process: responses, storage and broadcasts."""

from __future__ import annotations

import csv
import http.client
import io
import json
import sqlite3
from datetime import date
from importlib import metadata
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from htmlgraph_nb.core.model import PRESENCE_COLUMNS
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from tests.helpers.server_process import Response, Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import BOTH

SERVERS = BOTH

STRANGE_IDS = [
    "team/agent 1",
    "50%25 done?&#x",
    "агент-七",
    "🤖",
    '<img src=x onerror="alert(1)">',
    "..",
    "a+b=c;d",
    "'); DROP TABLE events;--",
    "x" * 256,
]
AS_AGENT = {"X_Agent_ID": "ada", "X_Session_ID": "s-1"}


def history(server: Server, **parameters: Any) -> list[dict[str, Any]]:
    """Return one JSON page of the history."""
    response = server.get(f"/api/history?{urlencode(parameters, doseq=True)}")
    assert response.status == 200, response.text
    events: list[dict[str, Any]] = response.json()["events"]
    return events


# Events in


def test_post_events_stores_and_counts_one_event(module_server: Server) -> None:
    """An object is stored, counted and shown with the eight fields first."""
    response = module_server.post(
        "/api/events",
        {
            "agent_id": "one",
            "event_type": "tool_execute",
            "tool_name": "Read",
            "session_id": "s-1",
            "feature_id": "feat-1",
            "cost_tokens": 100,
        },
    )
    assert response.status == 200
    assert {**response.json(), "cursor": ""} == {"accepted": 1, "duplicates": 0, "cursor": ""}
    presence = module_server.get("/api/presence/one").json()
    assert tuple(presence) == PRESENCE_COLUMNS
    assert presence["status"] == "active"
    assert presence["last_tool_name"] == "Read"
    assert presence["current_feature_id"] == "feat-1"
    assert presence["session_id"] == "s-1"
    assert (presence["total_tools_executed"], presence["total_cost_tokens"]) == (1, 100)


def test_presence_explain_adds_explanation(module_server: Server) -> None:
    """The explanation is present only if it is requested."""
    module_server.send("explained", event_type="prompt")
    path = "/api/presence/explained"
    plain = module_server.get(f"{path}?explain=0").json()
    assert tuple(plain) == PRESENCE_COLUMNS
    explained = module_server.get(f"{path}?explain=1").json()
    assert explained == {**plain, "explanation": explained["explanation"]}
    assert explained["explanation"]["rules"][-1] == {"rule": "working", "fits": True}
    assert {one["what"] for one in explained["explanation"]["evidence"]} >= {"last work"}
    assert module_server.get(f"{path}?explain=yes").status == 400
    assert module_server.get("/api/presence/unknown?explain=1").status == 404


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('[{"agent_id":"%s"},{"agent_id":"%s"}]', "application/json"),
        ('[{"agent_id":"%s"},{"agent_id":"%s"}]', "text/plain"),
        ('{"agent_id":"%s"}\n\n{"agent_id":"%s"}\n', "application/x-ndjson"),
        ('{"agent_id":"%s"}\r\n{"agent_id":"%s"}', "Application/JSONL; charset=utf-8"),
    ],
)
def test_post_events_accepts_array_and_ndjson(module_server: Server, body: str, kind: str) -> None:
    """The last line end is optional."""
    agent = f"several-{abs(hash((body, kind)))}"
    response = module_server.post("/api/events", body % (agent, agent), Content_Type=kind)
    assert response.json()["accepted"] == 2
    assert len(history(module_server, agent=agent)) == 2


def test_post_events_accepts_empty_array(module_server: Server) -> None:
    """An empty array is not an error."""
    assert module_server.post("/api/events", []).json()["accepted"] == 0


def test_post_events_drops_duplicate_event_ids(module_server: Server) -> None:
    """An event that is sent again, alone or within a batch, changes nothing."""
    event = {"agent_id": "twice", "event_id": "e-1", "event_type": "tool_execute"}
    first = module_server.post("/api/events", [event, event]).json()
    assert (first["accepted"], first["duplicates"]) == (1, 1)
    again = module_server.post("/api/events", event).json()
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert again["cursor"] == first["cursor"]
    assert module_server.get("/api/presence/twice").json()["total_tools_executed"] == 1
    assert len(history(module_server, agent="twice")) == 1


def test_post_events_responds_after_the_commit(server: Server) -> None:
    """An acknowledged event is in the file, even after a crash."""
    for n in range(20):
        server.send("durable", event_id=f"e-{n}")
    server.kill()
    with sqlite3.connect(server.db) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone()[0] == 20
    db.close()


def test_agent_hook_makes_the_agent_appear(module_server: Server) -> None:
    """A hook call without information is accepted too."""
    hook = {"hook_event_name": "PostToolUse", "session_id": "hooked", "tool_name": "Write"}
    response = module_server.post("/api/hooks/claude", hook)
    assert (response.status, response.body) == (204, b"")
    assert module_server.get("/api/presence/claude-hooked").json()["last_tool_name"] == "Write"
    silent = {"hook_event_name": "ConfigChange", "session_id": "silent"}
    assert module_server.post("/api/hooks/claude", silent).status == 204
    assert module_server.get("/api/presence/claude-silent").status == 404


# Presence


@pytest.mark.parametrize("agent", STRANGE_IDS)
def test_agent_id_may_be_any_text(module_server: Server, agent: str) -> None:
    """Slashes, spaces, escapes, markup and other alphabets round-trip."""
    module_server.send(agent)
    path = f"/api/presence/{quote(agent, safe='')}"
    assert module_server.get(path).json()["agent_id"] == agent
    assert module_server.post(f"{path}/offline").json() == {"success": True, "agent_id": agent}
    presence = module_server.get(path).json()
    assert (presence["status"], presence["reason"]) == ("offline", "marked offline")
    assert agent in module_server.presence()
    assert history(module_server, agent=agent)[0]["agent_id"] == agent


def test_offline_agent_returns_with_activity(module_server: Server) -> None:
    """Marking twice is no error, and the next activity makes the agent active again."""
    module_server.send("back")
    for _ in range(2):
        assert module_server.post("/api/presence/back/offline").status == 200
    module_server.send("back")
    assert module_server.get("/api/presence/back").json()["status"] == "active"


def test_viewed_is_stored_as_the_act_of_a_person(module_server: Server) -> None:
    """The event names who looked: a person."""
    module_server.send("seen/1")
    response = module_server.post("/api/presence/seen%2F1/viewed")
    assert response.json() == {"success": True, "agent_id": "seen/1"}
    event = history(module_server, agent="seen/1")[-1]
    assert (event["event_type"], event["source"]) == ("viewed", "person")


def test_viewed_agent_is_no_longer_unseen(module_server: Server) -> None:
    """Looking at a finished agent changes nothing else of it."""
    module_server.send("finished")
    module_server.send("finished", event_type="stop")
    before = module_server.get("/api/presence/finished").json()
    assert before["unseen"] is True
    module_server.post("/api/presence/finished/viewed")
    after = module_server.get("/api/presence/finished").json()
    assert after["unseen"] is False
    for name in ("status", "detail", "last_activity", "total_tools_executed", "since"):
        assert after[name] == before[name], name


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/presence/unknown", "unknown_agent"),
        ("POST", "/api/presence/unknown/offline", "unknown_agent"),
        ("POST", "/api/presence/unknown/viewed", "unknown_agent"),
        ("GET", "/api/presence/a/b", "not_found"),
        ("GET", "/nowhere", "not_found"),
        ("POST", "/api/nowhere", "not_found"),
        ("GET", "/api/events/", "not_found"),
        ("GET", "/static/nothing.js", "not_found"),
        ("GET", "/static/..%2f..%2fapp.py", "not_found"),
    ],
)
def test_missing_resources_return_404(
    module_server: Server, method: str, path: str, code: str
) -> None:
    """The error has the common shape."""
    response = module_server.request(method, path)
    assert (response.status, response.error["code"]) == (404, code)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/events", {"POST"}),
        ("PUT", "/api/events", {"POST"}),
        ("POST", "/api/presence", {"GET", "HEAD"}),
        ("DELETE", "/api/presence/x", {"GET", "HEAD"}),
        ("GET", "/api/presence/x/offline", {"POST"}),
        ("GET", "/api/presence/x/viewed", {"POST"}),
        ("POST", "/api/history", {"GET", "HEAD"}),
        ("PATCH", "/api/broadcast/features/f", {"POST"}),
        ("OPTIONS", "/api/status", {"GET", "HEAD"}),
        ("TRACE", "/api/status", {"GET", "HEAD"}),
        ("BREW", "/metrics", {"GET", "HEAD"}),
        ("POST", "/", {"GET", "HEAD"}),
        ("POST", "/static/page.js", {"GET", "HEAD"}),
    ],
)
def test_wrong_method_returns_405(
    module_server: Server, method: str, path: str, allowed: set[str]
) -> None:
    """Allow names the methods of the route."""
    response = module_server.request(method, path)
    assert response.status == 405
    assert set(response.headers["allow"].split(", ")) == allowed
    assert response.error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/page.js",
        "/api/presence",
        "/api/status",
        "/api/history",
        "/api/activity",
        "/metrics",
        "/api/history?format=csv",
        "/api/openapi.json",
    ],
)
def test_head_is_get_without_body(module_server: Server, path: str) -> None:
    """The status and Content-Type are the same."""
    head, get = module_server.request("HEAD", path), module_server.get(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/api/nowhere", None, {}),
        ("POST", "/api/nowhere", "not read by anybody", {}),
        ("OPTIONS", "/api/nowhere", None, {}),
        ("PUT", "/api/events", "{}", {}),
        ("POST", "/api/events", "{", {}),
        ("GET", "/api/history?x=1", None, {}),
        ("POST", "/api/events", "{}", {"Origin": "http://evil.example"}),
        ("POST", "/v1/logs", "{}", {"Authorization": "Bearer wrong", "Origin": "null"}),
        ("FROB", "/api/events", None, {}),
        ("GET", "/static/nothing", None, {}),
    ],
)
def test_refused_request_keeps_connection_or_announces_close(
    module_server: Server, method: str, path: str, body: str | None, headers: dict[str, str]
) -> None:
    """A client that reuses its connection never finds it closed without notice."""
    sent = {"Content-Type": "application/json"}
    if module_server.token:
        sent["Authorization"] = f"Bearer {module_server.token}"
    connection = http.client.HTTPConnection("127.0.0.1", module_server.port, timeout=30)
    try:
        connection.request(method, module_server.base + path, body, {**sent, **headers})
        response = connection.getresponse()
        response.read()
        assert 400 <= response.status < 500
        if response.getheader("Connection") == "close":
            assert connection.sock is None
        connection.request("GET", f"{module_server.base}/api/presence", headers=sent)
        assert connection.getresponse().status == 200
    finally:
        connection.close()


# Features, tracks, spikes, links


def broadcast(server: Server, path: str, body: Any) -> tuple[Response, list[dict[str, Any]]]:
    """Send one broadcast as ada; return the response and the two messages of a dashboard."""
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        dashboard.recv(timeout=10)
        response = server.post(f"/api/broadcast/{path}", body, **AS_AGENT)
        received = (json.loads(dashboard.recv(timeout=10)) for _ in range(3))
        changes = (message for message in received if message["type"] != "server_info")
        return response, list(islice(changes, 2))


@pytest.mark.parametrize(
    ("path", "body", "event_type", "resource"),
    [
        ("features/f%2F1", {"title": "Login", "status": "todo"}, "feature_updated", "feature"),
        ("features/f%2F1/status", {"new_status": "done"}, "status_changed", "feature"),
        (
            "features/f%2F1/links",
            {"linked_feature_id": "f2", "link_type": "blocks"},
            "link_added",
            "feature",
        ),
        ("tracks/f%2F1", {"name": "<b>x</b>"}, "track_updated", "track"),
        ("spikes/f%2F1", {"deep": {"er": [1, None, "é"]}}, "spike_updated", "spike"),
    ],
)
def test_broadcast_is_stored_sent_and_counted(
    module_server: Server, path: str, body: dict[str, Any], event_type: str, resource: str
) -> None:
    """The change is sent with the agent's presence and counts as activity."""
    response, messages = broadcast(module_server, path, body)
    assert response.status == 200, response.text
    done = response.json()
    assert (done["success"], done[f"{resource}_id"]) == (True, "f/1")
    assert done["clients_notified"] == 1
    by_type = {message["type"]: message for message in messages}
    assert set(by_type) == {"presence_update", "broadcast_event"}
    message = by_type["broadcast_event"]
    assert message["event_type"] == event_type
    assert (message["resource_id"], message["resource_type"]) == ("f/1", resource)
    assert (message["agent_id"], message["session_id"], message["payload"]) == ("ada", "s-1", body)
    assert message["seq"] == by_type["presence_update"]["seq"]
    presence = by_type["presence_update"]["presence"]
    assert (presence["agent_id"], presence["status"]) == ("ada", "active")
    stored = history(module_server, agent="ada", event_type=event_type)[-1]
    assert stored["seq"] == message["seq"]
    assert stored["extra"]["payload"] == body


def test_feature_status_response_has_old_status(module_server: Server) -> None:
    """The old status of a new feature is null."""
    path = "/api/broadcast/features/steps/status"
    seen = []
    for status in ("todo", "in_progress", "done"):
        response = module_server.post(path, {"new_status": status}, **AS_AGENT).json()
        seen.append((response["old_status"], response["new_status"]))
    assert seen == [(None, "todo"), ("todo", "in_progress"), ("in_progress", "done")]


@pytest.mark.parametrize(
    ("path", "body", "headers", "field"),
    [
        ("features/f", {}, {"X_Session_ID": "s"}, "X-Agent-ID"),
        ("tracks/t", {}, {"X_Agent_ID": "a"}, "X-Session-ID"),
        ("spikes/s", [], AS_AGENT, None),
        ("spikes/s", "no JSON", AS_AGENT, None),
        ("features/f", {"status": "finished"}, AS_AGENT, "status"),
        ("features/f/status", {}, AS_AGENT, "new_status"),
        ("features/f/status", {"new_status": ["done"]}, AS_AGENT, "new_status"),
        ("features/f/links", {"link_type": "blocks"}, AS_AGENT, "linked_feature_id"),
        ("features/f/links", {"linked_feature_id": "g", "link_type": "x"}, AS_AGENT, "link_type"),
        ("tracks/%00", {}, AS_AGENT, "track_id"),
        ("spikes/" + "x" * 257, {}, AS_AGENT, "spike_id"),
        ("tracks/t", {"text": "x" * 20_000}, AS_AGENT, None),
        ("tracks/t", {}, {**AS_AGENT, "X_Agent_ID": "x" * 257}, "X-Agent-ID"),
        ("tracks/t", {}, {**AS_AGENT, "X_Agent_ID": "\xff"}, "X-Agent-ID"),
    ],
)
def test_invalid_broadcast_returns_400(
    module_server: Server, path: str, body: Any, headers: dict[str, str], field: str | None
) -> None:
    """A missing header, a wrong choice or a wrong id is named in ``field``."""
    before = module_server.get("/api/status").json()["cursor"]
    response = module_server.post(f"/api/broadcast/{path}", body, **headers)
    assert response.status == 400
    assert response.error["field"] == field
    assert module_server.get("/api/status").json()["cursor"] == before


def test_agent_headers_are_utf8(module_server: Server) -> None:
    """X-Agent-ID may contain any alphabet."""
    name = "агент-é"
    headers = {"X_Agent_ID": name.encode().decode("latin-1"), "X_Session_ID": "s"}
    assert module_server.post("/api/broadcast/tracks/t", {}, **headers).status == 200
    assert name in module_server.presence()


# History


@pytest.fixture(scope="module")
def filled(module_server: Server) -> Server:
    """A server with 250 fixed events of three agents."""
    events = [
        {
            "agent_id": f"h-{n % 3}",
            "event_id": f"h-{n}",
            "event_type": "tool_execute" if n % 2 else "prompt",
            "tool_name": ("Read", 'Edit, "quoted"\nline', None)[n % 3],
            "session_id": f"hs-{n % 5}",
            "feature_id": f"hf-{n % 2}",
            "timestamp": f"2025-01-14T14:{n % 60:02}:00.123456Z",
            "extra": {"n": n},
            "cost_tokens": n,
        }
        for n in range(250)
    ]
    assert module_server.post("/api/events", events).json()["accepted"] == 250
    return module_server


# What the server's timers soon say of agents that are so long silent is not among it.
THAT_DAY = {"until": "2025-01-15T00:00:00Z"}
AGENTS = [*(("agent", f"h-{n}") for n in range(3)), *THAT_DAY.items()]


def test_history_columns_selects_columns(filled: Server) -> None:
    """All columns are in their order; a selection has seq first."""
    [event] = history(filled, agent="h-1", limit=1)
    assert tuple(event) == HISTORY_COLUMNS
    assert event["timestamp"] == "2025-01-14T14:01:00.123456Z"
    assert (event["event_id"], event["extra"], event["cost_tokens"]) == ("h-1", {"n": 1}, 1)
    [chosen] = history(filled, agent="h-1", limit=1, columns="tool_name,agent_id,tool_name")
    assert list(chosen) == ["seq", "tool_name", "agent_id"]


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"agent": "h-0"}, 84),
        ({"agent": ["h-0", "h-1"]}, 167),
        ({"agent": "h-0", "session": "hs-0"}, 17),
        ({"agent": "h-0", "tool": "Read"}, 84),
        ({"agent": "h-1", "feature": "hf-1"}, 42),
        ({"agent": "h-1", "event_type": "prompt"}, 41),
        ({"agent": "h-1", "since": "2025-01-14T14:30:00Z"}, 40),
        ({"agent": "h-1", "until": "2025-01-14T15:30:00+01:00"}, 43),
        ({"agent": "h-1", "since": "2025-01-14T14:30:00.123456Z", "until": "2025-01-14"}, 0),
        ({"agent": "unknown"}, 0),
    ],
)
def test_history_filters_narrow_the_result(
    filled: Server, parameters: dict[str, Any], count: int
) -> None:
    """Several values of one filter are alternatives."""
    assert len(history(filled, **{**THAT_DAY, **parameters})) == count


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_history_pages_contain_each_event_once(filled: Server, order: str) -> None:
    """Following the cursor gives the same events in the same order as one page."""
    cursor: str | None = None
    seen: list[dict[str, Any]] = []
    more = True
    while more:
        paging = {"cursor": cursor} if cursor else {}
        query = urlencode([*AGENTS, ("limit", 37), ("order", order), *paging.items()])
        page = filled.get(f"/api/history?{query}").json()
        assert len(page["events"]) <= 37
        seen += page["events"]
        cursor, more = page["cursor"], page["more"]
    assert len(seen) == 250
    agents = [f"h-{n}" for n in range(3)]
    assert seen == history(filled, agent=agents, limit=10_001, order=order, **THAT_DAY)
    assert (seen[0]["seq"] > seen[-1]["seq"]) == (order == "desc")


def test_history_order_desc_returns_newest_first(filled: Server) -> None:
    """The newest events are one page, even without a cursor."""
    newest = history(filled, agent="h-1", order="desc", limit=3, **THAT_DAY)
    assert [event["extra"] for event in newest] == [{"n": 247}, {"n": 244}, {"n": 241}]


def test_history_streams_equal_the_page(filled: Server) -> None:
    """NDJSON and CSV, by ``format`` and by Accept."""
    query = urlencode(AGENTS)
    page = filled.get(f"/api/history?{query}").json()["events"]
    ndjson = filled.get(f"/api/history?{query}&format=ndjson")
    assert ndjson.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in ndjson.text.splitlines()] == page
    response = filled.get(f"/api/history?{query}", Accept="text/csv")
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert len(rows) == 250
    for row, event in zip(rows, page, strict=True):
        for name, value in event.items():
            shown = "" if value is None else str(value)
            shown = shown.lower() if isinstance(value, bool) else shown
            assert (json.loads(row[name]) if name == "extra" else row[name]) == (
                value if name == "extra" else shown
            )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("since=1999-01-01T00:00:00Z", "since"),
        ("until=", "until"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=00000000000000000001999999999999999999999999", "limit"),
        ("limit=1&limit=2", "limit"),
        ("columns=agent_id,nonsense", "columns"),
        ("columns=", "columns"),
        ("columns=seq;DROP", "columns"),
        ("format=xml", "format"),
        ("format=", "format"),
        ("order=up", "order"),
        ("order=asc&order=desc", "order"),
        ("agent=", "agent"),
        ("agent=%00", "agent"),
        ("agent=%ff", "agent"),
        ("&".join(["agent=a"] * 257), "agent"),
        ("colums=agent_id", "colums"),
        ("cursor=12", None),
        ("cursor=abc:-1", None),
        ("cursor=abc:99999999999999999", None),
    ],
)
def test_invalid_history_parameters_return_400(
    module_server: Server, query: str, field: str | None
) -> None:
    """The error names the parameter."""
    response = module_server.get(f"/api/history?{query}")
    assert response.status == 400
    assert response.error["field"] == field


def test_history_cursor_of_another_epoch_returns_409(module_server: Server) -> None:
    """The error makes a reader start again."""
    response = module_server.get("/api/history?cursor=abcdef:1")
    assert (response.status, response.error["code"]) == (409, "other_epoch")


# Activity


@pytest.mark.parametrize("minutes", ["0", "61", "-1", "1.5", "", "15&minutes=15", "x" * 5_000])
def test_activity_minutes_out_of_range_returns_400(module_server: Server, minutes: str) -> None:
    """The error names the parameter."""
    response = module_server.get(f"/api/activity?minutes={minutes}")
    assert (response.status, response.error["field"]) == (400, "minutes")
    assert len(response.text) < 1_000


def test_activity_counts_latest_events(server: Server) -> None:
    """Tools and errors of this minute are in the last bucket; marking as offline does not count."""
    server.send("busy")
    server.send("busy", status="error")
    server.send("failing", "tool_error")
    server.post("/api/presence/busy/offline")

    def counted() -> dict[str, Any] | None:
        result: dict[str, Any] = server.get("/api/activity?minutes=2").json()
        return result if len(result["agents"]) == 2 else None

    result = wait_until(counted, "both agents are counted")
    assert result is not None
    assert result["minutes"] == 2
    # The minute may end while the test runs.
    sums = {
        agent: (sum(counts["events"]), sum(counts["errors"]))
        for agent, counts in result["agents"].items()
    }
    assert sums == {"busy": (2, 1), "failing": (1, 1)}
    assert [len(one) for counts in result["agents"].values() for one in counts.values()] == [2] * 4


# Server status


def test_status_reports_counts(server: Server) -> None:
    """Agents, dashboards and changes are counted."""
    server.send("busy")
    server.send("left")
    server.post("/api/presence/left/offline")
    with connect(server.ws("/ws/broadcasts?session=s-1")) as dashboard:
        dashboard.recv(timeout=10)
        status = server.get("/api/status").json()
    assert status["agents"] == {"active": 1, "idle": 0, "offline": 1}
    assert status["clients"] == {
        "total": 1,
        "by_session": {"s-1": 1},
        "without_session": 0,
        "lagging": 0,
    }
    assert status["updates"]["total"] == 3
    assert status["frames"]["total"] == 1
    assert status["cursor"].endswith(":3")
    assert status["database"]["path"] == str(server.db)
    assert status["database"]["bytes"] > 0
    assert status["uptime_s"] > 0
    assert status["version"]


def test_status_has_the_price_table(server: Server) -> None:
    """Once a completion was priced; a model that is only known by its start is named."""
    tokens = {"event_type": "completion", "input_tokens": 1_000, "output_tokens": 0}
    server.post("/api/events", {"agent_id": "a", "model": "claude-opus-4-8-turbo", **tokens})
    prices = server.get("/api/status").json()["prices"]
    assert prices["version"] == metadata.version("genai-prices")
    assert date.fromisoformat(prices["date"]).year >= 2026
    assert "claude-opus-4-8-turbo" in " ".join(prices["notes"])


def test_completion_cost_depends_on_the_terms_of_the_request(server: Server) -> None:
    """Fast mode and web searches cost more; an unknown tier has no price."""
    tokens = {"event_type": "completion", "model": "claude-opus-4-8", "output_tokens": 1_000_000}
    server.post("/api/events", {"agent_id": "fast", "speed": "fast", "web_searches": 5, **tokens})
    server.post("/api/events", {"agent_id": "tier", "service_tier": "priority", **tokens})
    agents = server.presence()
    assert agents["fast"]["cost_usd"] == pytest.approx(50.05)
    assert (agents["tier"]["cost_usd"], agents["tier"]["unpriced_tokens"]) == (None, 1_000_000)


def test_metrics_are_valid_prometheus_text(server: Server) -> None:
    """The values are those of the status."""
    server.send("busy")
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        dashboard.recv(timeout=10)
        text = server.get("/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["htmlgraph_agents", "active"] == 1
    assert samples["htmlgraph_clients",] == 1
    assert samples["htmlgraph_updates_total",] == 1
    assert samples["htmlgraph_frames_total",] == 1
    assert samples["htmlgraph_database_bytes",] > 0


def test_unknown_parameters_return_400(module_server: Server) -> None:
    """Typos are reported."""
    for path in (
        *("/api/presence?x=1", "/api/status?x=", "/metrics?x=1", "/api/openapi.json?x=1"),
        "/api/activity?x=1",
    ):
        response = module_server.get(path)
        assert (response.status, response.error["code"]) == (400, "unknown_parameter"), path


def test_completion_cost_comes_from_agent_or_price_table(server: Server) -> None:
    """The reported cost takes precedence; without a price it is null."""
    tokens = {"event_type": "completion", "input_tokens": 1_000_000, "output_tokens": 0}
    server.post("/api/events", {"agent_id": "a", "model": "claude-sonnet-4-5-20250929", **tokens})
    server.post("/api/events", {"agent_id": "b", "model": "no-such-model", **tokens})
    server.post("/api/events", {"agent_id": "c", "model": "gpt-5", "cost_usd": 0.25, **tokens})
    result = server.presence()
    assert result["a"]["cost_usd"] > 1
    assert result["b"]["cost_usd"] is None
    assert result["c"]["cost_usd"] == 0.25
    (stored,) = server.get("/api/history?agent=a").json()["events"]
    assert stored["cost_usd"] is None, "history keeps the reported value"
