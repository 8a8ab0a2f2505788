"""GET /api/costs and GET /api/sessions: the numbers of the analysis functions."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import psutil
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.core.timestamps import to_rfc3339
from tests.helpers.server_process import Response, Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import BOTH, Serve

SERVERS = BOTH
ZONE = "America/St_Johns"
# 22:00 of 13 January in Newfoundland.
START = datetime(2026, 1, 14, 1, 30, tzinfo=UTC)
UNTIL = "2026-03-01T00:00:00Z"
"""Before what other tests add."""
KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


@pytest.fixture(scope="module")
def server(module_server: Server) -> Server:
    """Return a server with agents of two kinds with tokens, and one without."""
    events: list[dict[str, Any]] = []
    for n in range(40):
        model = ("claude-opus-4-5", "gpt-5.2-codex", "house-model")[n % 3]
        kind = ("claude", "codex", "claude")[n % 3]
        events += [
            {
                "agent_id": f"{kind}-{n % 4}",
                "agent_kind": kind,
                "session_id": f"s-{n % 4}-{n // 20}",
                "event_type": event_type,
                "timestamp": to_rfc3339(START + timedelta(hours=n, seconds=second)),
                "project": ("shop", "api", None)[n % 3],
                "branch": "main" if n % 2 else None,
                **fields,
            }
            for second, (event_type, fields) in enumerate(
                [
                    ("prompt", {}),
                    ("tool_execute", {"tool_name": "Bash", "status": "error" if n == 3 else None}),
                    (
                        "completion",
                        {
                            "model": model,
                            **{f"{name}_tokens": 100 * (n + i) for i, name in enumerate(KINDS)},
                        },
                    ),
                    ("stop", {}),
                ]
            )
        ]
    at = to_rfc3339(START + timedelta(hours=1))
    silent = {"agent_id": "gemini-1", "agent_kind": "gemini", "tool_name": "Read", "timestamp": at}
    events.append({**silent, "event_type": "tool_execute"})
    response = module_server.post("/api/events", events)
    assert response.json()["accepted"] == len(events)
    wait_until(lambda: not module_server.presence(), "the removal of the silent agents")
    return module_server


def get(server: Server, path: str, **parameters: Any) -> Response:
    """Send a GET with a query."""
    return server.get(f"{path}?{urlencode(parameters, doseq=True)}")


def frame_of(rows: list[dict[str, Any]], like: pd.DataFrame) -> list[list[Any]]:
    """Return rows of a response as values in the form of ``values_of``."""
    return [[_value(row[name]) for name in like.columns] for row in rows]


def values_of(table: pd.DataFrame) -> list[list[Any]]:
    """Return the values of a table: text for times, None for missing ones."""
    return [[_value(value) for value in row] for row in table.astype(object).to_numpy()]


def _value(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return None if value is None or value is pd.NA or value != value else value


@pytest.mark.parametrize("by", [["model"], ["project", "branch"], ["agent_kind"], ["session_id"]])
def test_costs_are_those_of_token_costs(server: Server, by: list[str]) -> None:
    """Groups, periods, rows and total equal those of the function, in the days of the zone."""
    events = hg.load_history(str(server.db))
    events["timestamp"] = events["timestamp"].dt.tz_convert(ZONE)
    costs = get(server, "/api/costs", by=by, freq="D", tz=ZONE).json()
    rows = hg.token_costs(events, by, "D")
    assert frame_of(costs["rows"], rows) == values_of(rows)
    assert rows["timestamp"].dt.day.min() == 13
    periods = hg.token_costs(events, (), "D")
    assert frame_of(costs["periods"], periods) == values_of(periods)
    (total,) = values_of(hg.token_costs(events, ()))
    assert frame_of([costs["total"]], hg.token_costs(events, ())) == [total]
    groups = hg.token_costs(events, by)
    found = frame_of(costs["groups"], groups)
    assert sorted(found, key=str) == sorted(values_of(groups), key=str)
    dollars = [-math.inf if row["usd"] is None else row["usd"] for row in costs["groups"]]
    assert dollars == sorted(dollars, reverse=True)
    assert costs["starts"][0].startswith("2026-01-13T00:00:00-03:30")
    assert {row["timestamp"] for row in costs["periods"]} <= set(costs["starts"])


def test_reports_fit_the_document(server: Server) -> None:
    """The rows of a report with costs and sessions have the fields of openapi.yaml."""
    costs = get(server, "/api/costs", freq="D", by=["model", "host"]).json()
    document = server.get("/api/openapi.json").json()["components"]["schemas"]
    required = set(document["CostRow"]["required"])
    for name, keys in (
        ("groups", {"model", "host"}),
        ("rows", {"timestamp", "model", "host"}),
        ("periods", {"timestamp"}),
    ):
        assert set(costs[name][0]) == required | keys, name
    assert set(costs) == set(document["Costs"]["required"])
    found = get(server, "/api/sessions").json()
    assert list(found["sessions"][0]) == document["SessionRow"]["required"]
    assert set(found) == set(document["Sessions"]["required"])


def test_costs_of_a_range(server: Server) -> None:
    """Only events from since to before until count; by=day means freq=D."""
    since, until = START + timedelta(hours=5), START + timedelta(hours=9)
    bounds = {"since": to_rfc3339(since), "until": to_rfc3339(until)}
    costs = get(server, "/api/costs", by=["model", "day"], **bounds).json()
    expected = hg.token_costs(hg.load_history(str(server.db), since=since, until=until), "model")
    assert sum(row["total"] for row in costs["groups"]) == expected["total"].sum() > 0
    assert (costs["by"], costs["freq"]) == (["model"], "D")
    assert costs["starts"] == ["2026-01-14T00:00:00+00:00"]
    empty = get(server, "/api/costs", since="2026-03-01T00:00:00Z", until="2026-03-02T00:00:00Z")
    assert empty.json()["total"] is None
    assert empty.json()["groups"] == []


def test_costs_name_what_they_leave_out(server: Server) -> None:
    """Models without a price and agents without token counts are listed."""
    costs = get(server, "/api/costs", tz=ZONE).json()
    (model,) = [row for row in costs["groups"] if row["model"] == "house-model"]
    assert model["usd"] is None
    assert costs["unpriced"] == [{"model": "house-model", "unpriced_tokens": model["total"]}]
    assert costs["total"]["unpriced_tokens"] == model["total"]
    assert costs["uncovered"] == [
        {
            "agent_kind": "gemini",
            "agents": 1,
            "calls": 1,
            "days": ["2026-01-13"],
            "agent_ids": ["gemini-1"],
        }
    ]
    assert costs["prices"]["source"]


def test_costs_limit_keeps_the_highest(server: Server) -> None:
    """``limit`` cuts groups and their rows, not the totals."""
    all_ = get(server, "/api/costs", freq="D").json()
    first = get(server, "/api/costs", freq="D", limit=1).json()
    assert first["groups"] == all_["groups"][:1]
    assert first["n_groups"] == len(all_["groups"]) == 3
    assert {row["model"] for row in first["rows"]} == {all_["groups"][0]["model"]}
    assert first["periods"] == all_["periods"]


def test_costs_csv(server: Server) -> None:
    """CSV has the rows of the JSON response."""
    response = get(server, "/api/costs", freq="D", tz=ZONE, format="csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="costs.csv"'
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    expected = get(server, "/api/costs", freq="D", tz=ZONE).json()["rows"]
    assert [row["timestamp"] for row in rows] == [row["timestamp"] for row in expected]
    assert [int(row["total"]) for row in rows] == [row["total"] for row in expected]
    assert [row["usd"] for row in rows] == [
        "" if row["usd"] is None else str(row["usd"]) for row in expected
    ]


def test_sessions_are_those_of_the_function(server: Server) -> None:
    """Each session has the totals of ``sessions()``, and its prompts, model and status now."""
    table = hg.sessions(hg.load_history(str(server.db)), subagents="include")
    found = get(server, "/api/sessions", sort="start").json()
    assert found["n_sessions"] == found["n_all"] == len(table)
    names = ["agent_id", "session_id", "tools", "errors", "tokens", "unpriced_tokens", "usd"]
    assert frame_of(found["sessions"], table[names]) == values_of(table[names])
    assert [row["active_ms"] for row in found["sessions"]] == [
        int(value / pd.Timedelta("1ms")) for value in table["active"]
    ]
    assert [datetime.fromisoformat(row["end"]) for row in found["sessions"]] == list(table["end"])
    by_id = {(row["agent_id"], row["session_id"]): row for row in found["sessions"]}
    codex = by_id["codex-1", "s-1-0"]
    assert (codex["turns"], codex["model"], codex["project"]) == (2, "gpt-5.2-codex", "api")
    assert codex["status"] == "ended"
    assert by_id["gemini-1", None]["status"] == "ended"


def test_sessions_have_the_status_of_their_agent(server: Server) -> None:
    """The current session of an agent has its status, earlier ones are ended."""
    for session, event_type in (("old", "prompt"), ("new", "permission_request")):
        server.send("claude-live", event_type, session_id=session, agent_kind="claude")

    def statuses() -> dict[str, str]:
        found = get(server, "/api/sessions", search="claude-live").json()["sessions"]
        return {row["session_id"]: row["status"] for row in found}

    expected = {"old": "ended", "new": "waiting"}
    wait_until(lambda: statuses() == expected, "the statuses of the sessions")


def test_sessions_search_filter_and_sort(server: Server) -> None:
    """Every word must match; filters keep any of their values; missing values are last."""
    every = get(server, "/api/sessions", until=UNTIL).json()
    found = get(server, "/api/sessions", search="CODEX s-1", until=UNTIL).json()
    assert found["n_all"] == every["n_all"]
    assert {row["agent_id"][:5] for row in found["sessions"]} == {"codex"}
    assert all("s-1" in row["session_id"] for row in found["sessions"])
    assert 0 < found["n_sessions"] < every["n_sessions"]
    kept = get(
        server, "/api/sessions", agent_kind=["gemini", "codex"], project="", until=UNTIL
    ).json()
    assert [row["agent_id"] for row in kept["sessions"]] == ["gemini-1"]
    assert kept["facets"] == every["facets"]
    assert sum(every["facets"]["agent_kind"].values()) == every["n_all"]
    dollars = [
        row["usd"]
        for row in get(server, "/api/sessions", sort="-usd", until=UNTIL).json()["sessions"]
    ]
    known = [usd for usd in dollars if usd is not None]
    assert known == sorted(known, reverse=True)
    assert dollars[len(known) :] == [None] * (len(dollars) - len(known)) != []
    two = get(server, "/api/sessions", limit=2, until=UNTIL).json()
    assert two["sessions"] == every["sessions"][:2]
    assert two["n_sessions"] == every["n_sessions"]
    one = get(server, "/api/sessions", session="s-1-0", format="csv").text
    assert {row["session_id"] for row in csv.DictReader(io.StringIO(one))} == {"s-1-0"}


def test_sessions_of_a_range_have_all_their_events(server: Server) -> None:
    """A session that worked in the range is complete, others are left out."""
    whole = get(server, "/api/sessions").json()["sessions"]
    since = START + timedelta(hours=4)
    bounds = {"since": to_rfc3339(since), "until": to_rfc3339(since + timedelta(hours=1))}
    (found,) = get(server, "/api/sessions", agent_kind="codex", **bounds).json()["sessions"]
    assert found in whole
    assert found["turns"] > 1


def test_sessions_of_a_range_include_subagents(server: Server) -> None:
    """Subagents count to the session of their topmost agent, also those that worked earlier."""
    start = datetime(2026, 2, 1, tzinfo=UTC)
    names = (("top", None), ("top/a", "top"), ("top/a/b", "top/a"), ("top", None))
    events = [
        {
            "agent_id": name,
            "parent_agent_id": parent,
            "session_id": "s-top",
            "event_type": "completion",
            "model": "claude-opus-4-5",
            "output_tokens": 10**number,
            "timestamp": to_rfc3339(start + timedelta(hours=number)),
        }
        for number, (name, parent) in enumerate(names)
    ]
    assert server.post("/api/events", events).json()["accepted"] == 4
    since = to_rfc3339(start + timedelta(hours=2.5))
    found = get(server, "/api/sessions", since=since, until=UNTIL).json()["sessions"]
    (row,) = [row for row in found if row["session_id"] == "s-top"]
    assert (row["agent_id"], row["tokens"], row["subagents"]) == ("top", 1_111, 2)
    earlier = to_rfc3339(start - timedelta(days=1))
    (same,) = get(server, "/api/sessions", search="s-top", since=earlier).json()["sessions"]
    # Its agent is removed at any time: it has been silent for too long.
    assert row | {"status": ""} == same | {"status": ""}


def test_reports_include_every_reported_event(server: Server) -> None:
    """A report follows the history at once, or with a cursor that says so."""
    before = get(server, "/api/costs").json()
    server.send("claude-1", "completion", model="claude-opus-4-5", input_tokens=1_000_000)
    seq = int(server.get("/api/status").json()["cursor"].split(":")[1])

    def total() -> int | None:
        costs = get(server, "/api/costs").json()
        is_current = int(costs["cursor"].split(":")[1]) >= seq
        return costs["total"]["total"] if is_current else None

    after = wait_until(total, "a report with the new event")
    assert after == before["total"]["total"] + 1_000_000


@pytest.mark.parametrize(
    ("path", "field", "text"),
    [
        ("/api/costs?by=extra", "by", "expected some of model"),
        ("/api/costs?by=model&by=host&by=user&by=project", "by", "at most 3"),
        ("/api/costs?freq=1s", "freq", "expected one of 15min"),
        ("/api/costs?since=monday", "since", "monday"),
        ("/api/costs?tz=Mars/Base", "tz", "expected a time zone"),
        ("/api/costs?tz=../../etc/passwd", "tz", "expected a time zone"),
        ("/api/costs?limit=0", "limit", "from 1 to 1000"),
        ("/api/costs?format=xml", "format", "json, csv"),
        ("/api/sessions?sort=-extra", "sort", "expected one of agent_id"),
        ("/api/sessions?search=" + "x" * 201, "search", "at most 200"),
        ("/api/sessions?agent=x", "agent", "unknown parameter"),
    ],
)
def test_reports_refuse_bad_parameters(server: Server, path: str, field: str, text: str) -> None:
    """The error names the parameter and what is expected."""
    response = server.get(path)
    assert response.status == 400
    assert response.error["field"] == field
    assert text in response.error["message"]


def test_reports_run_in_one_child_process(serve: Serve) -> None:
    """The worker stays for the next report, ends with the server, and can be killed."""
    server = serve()
    process = psutil.Process(server.pid)

    def workers() -> list[psutil.Process]:
        return [
            child
            for child in process.children(recursive=True)
            if child.status() != psutil.STATUS_ZOMBIE
            and any("report_worker" in word for word in child.cmdline())
        ]

    assert workers() == []
    get(server, "/api/costs")
    (worker,) = workers()
    get(server, "/api/sessions")
    assert workers() == [worker]
    worker.kill()
    wait_until(lambda: workers() == [], "the end of the worker")
    wait_until(lambda: get(server, "/api/costs").status == 200, "a new worker")
    (worker,) = workers()
    server.stop()
    wait_until(lambda: not worker.is_running(), "the end of the worker")
