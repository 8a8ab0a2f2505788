"""Compare each analysis function with SQL on the database of a real server."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from htmlgraph_nb import analysis, load_history, load_presence
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until

NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(minutes=50)
MODELS = {"a": "claude-opus-4-5", "b": "gpt-5.2", "c": "home-made"}
TOOLS = """(event_type IN ('tool_execute', 'tool_call', 'tool_result', 'tool_error')
    OR (tool_name IS NOT NULL AND event_type = 'lint'))"""
"""Executed tools as PROTOCOL.md describes them, among the event types below."""


def known_events() -> Iterator[dict[str, Any]]:
    """Return events of three agents: two sessions each, all types, tokens, a wait, errors, no
    names.
    """
    for number, (agent, model) in enumerate(MODELS.items()):
        for session in range(2):
            base = {"agent_id": agent, "session_id": f"{agent}-{session}", "model": model}
            if session:
                base["feature_id"] = f"feat-{number % 2}"
            begin = START + timedelta(minutes=20 * session + number)

            def at(seconds: float, begin: datetime = begin) -> str:
                return (begin + timedelta(seconds=seconds)).isoformat()

            yield {**base, "event_type": "session_start", "timestamp": at(0)}
            yield {**base, "event_type": "prompt", "timestamp": at(10)}
            for turn in range(6 + number):
                t = 20 + 40 * turn
                tool = ("Bash", "Read", "Edit")[(turn + number) % 3]
                kind = ("tool_execute", "tool_call", "tool_error", "lint")[turn % 4]
                call = {**base, "tool_name": tool, "tool_use_id": f"{agent}-{session}-{turn}"}
                yield {**call, "event_type": "tool_start", "timestamp": at(t)}
                if turn == 2:
                    yield {**call, "event_type": "permission_request", "timestamp": at(t + 1)}
                    yield {**base, "event_type": "answered", "timestamp": at(t + 21)}
                yield {
                    **call,
                    "event_type": kind,
                    "timestamp": at(t + 25),
                    "status": "error" if kind == "tool_error" else "ok",
                    "duration_ms": None if turn == 5 else 100 * turn + number,
                }
                yield {
                    **base,
                    "event_type": "completion",
                    "timestamp": at(t + 30),
                    "input_tokens": 100 + turn,
                    "cache_read_tokens": 1_000 * turn,
                    "cache_write_5m_tokens": 50,
                    "cache_write_1h_tokens": 7 if turn % 2 else None,
                    "output_tokens": 10 * turn,
                    "cost_usd": 0.25 if turn == 4 else None,
                }
            yield {**base, "event_type": "stop", "timestamp": at(500)}
            if not session:
                yield {**base, "event_type": "session_end", "timestamp": at(510)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that stores the events, and only timer events besides."""
    with running(tmp_path_factory.mktemp("truth") / "home") as started:
        sent = started.post("/api/events", list(known_events()))
        assert sent.status == 200, sent.text
        yield started


@pytest.fixture(scope="module", params=["file", "url"])
def df(server: Server, request: pytest.FixtureRequest) -> pd.DataFrame:
    """History up to the last event, from the file and from the server."""
    until = NOW - timedelta(seconds=1)
    return load_history(server.db if request.param == "file" else server.url, until=until)


def sql(server: Server, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on ``h``, the history up to the last event."""
    db = sqlite3.connect(f"file:{server.db}?mode=ro", uri=True)
    try:
        until = int((NOW - timedelta(seconds=1)).timestamp() * 1e6)
        whole = f"WITH h AS (SELECT * FROM history WHERE timestamp < {until}) {query}"
        return list(db.execute(whole))
    finally:
        db.close()


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of a table as plain rows, with times and durations in microseconds."""
    plain = table[list(columns)].copy()
    for name in columns:
        if plain[name].dtype.kind in "mM":
            plain[name] = plain[name].astype("int64")
    values = plain.astype(object).where(plain.notna(), None)
    return [tuple(row) for row in values.itertuples(index=False)]


def test_tool_counts(server: Server, df: pd.DataFrame) -> None:
    """Counts by agent and tool and by hour, and shares, equal SQL."""
    counted = rows(
        analysis.tool_counts(df, ("agent_id", "tool_name")), "agent_id", "tool_name", "count"
    )
    assert counted == sql(
        server,
        f"SELECT agent_id, tool_name, count(*) FROM h WHERE {TOOLS} GROUP BY 1, 2 ORDER BY 1, 2",
    )
    by_time = rows(analysis.tool_counts(df, "tool_name", "5min"), "timestamp", "tool_name", "count")
    assert by_time == sql(
        server,
        "SELECT timestamp / 300000000 * 300000000, tool_name, count(*) FROM h "
        f"WHERE {TOOLS} GROUP BY 1, 2 ORDER BY 1, 2",
    )
    shares = analysis.tool_counts(df, normalize=True).set_index("agent_id")["share"]
    expected = sql(
        server,
        f"SELECT agent_id, 1.0 * count(*) / (SELECT count(*) FROM h WHERE {TOOLS}) "
        f"FROM h WHERE {TOOLS} GROUP BY 1",
    )
    assert shares.to_dict() == pytest.approx(dict(expected))


def test_tool_errors_and_durations(server: Server, df: pd.DataFrame) -> None:
    """Error counts and duration statistics equal SQL."""
    result = rows(analysis.tool_errors(df), "tool_name", "count", "errors")
    assert result == sql(
        server,
        "SELECT tool_name, count(*), sum(status = 'error' OR event_type = 'tool_error') FROM h "
        f"WHERE {TOOLS} GROUP BY 1 ORDER BY 1",
    )
    table = analysis.tool_durations(df, "agent_id", [0.5])
    columns = ("agent_id", "count", "timed", "total_ms", "mean_ms", "min_ms", "max_ms")
    assert rows(table, *columns) == sql(
        server,
        "SELECT agent_id, count(*), count(duration_ms), sum(duration_ms), avg(duration_ms), "
        f"min(duration_ms), max(duration_ms) FROM h WHERE {TOOLS} GROUP BY 1 ORDER BY 1",
    )
    for agent, median in rows(table, "agent_id", "p50_ms"):
        durations = sql(
            server,
            f"SELECT duration_ms FROM h WHERE {TOOLS} AND agent_id = '{agent}' "
            "AND duration_ms IS NOT NULL ORDER BY 1",
        )
        middle = [
            value for (value,) in durations[(len(durations) - 1) // 2 : len(durations) // 2 + 1]
        ]
        assert median == sum(middle) / len(middle)


def test_tool_transitions(server: Server, df: pd.DataFrame) -> None:
    """Transitions equal an SQL window function."""
    result = rows(analysis.tool_transitions(df), "tool_name", "next_tool_name", "count")
    assert result == sql(
        server,
        "SELECT tool_name, following, count(*) FROM (SELECT tool_name, lead(tool_name) OVER "
        "(PARTITION BY agent_id, session_id ORDER BY timestamp, seq) AS following FROM h "
        f"WHERE {TOOLS}) WHERE following IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2",
    )


USD = """CASE WHEN cost_usd IS NOT NULL THEN cost_usd
    WHEN model = 'claude-opus-4-5' THEN (input_tokens * 5 + cache_read_tokens * 0.5
        + cache_write_5m_tokens * 6.25 + coalesce(cache_write_1h_tokens, 0) * 10
        + output_tokens * 25) / 1e6
    WHEN model = 'gpt-5.2' THEN ((input_tokens + cache_write_5m_tokens
        + coalesce(cache_write_1h_tokens, 0)) * 1.75 + cache_read_tokens * 0.175
        + output_tokens * 14) / 1e6 END"""
"""Dollars of a completion by the vendors' price lists: Opus 4.5 and GPT-5.2."""


def test_token_costs(server: Server, df: pd.DataFrame) -> None:
    """Tokens and dollars equal SQL; an unknown model costs what its agent reports."""
    result = analysis.token_costs(df)
    kinds = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    sums = ", ".join(f"sum({kind}_tokens)" for kind in kinds)
    assert rows(result, "model", "answers", *kinds, "total") == sql(
        server,
        f"SELECT model, count(*), {sums}, sum(cost_tokens) FROM h "
        "WHERE cost_tokens IS NOT NULL GROUP BY 1 ORDER BY 1",
    )
    dollars = sql(server, f"SELECT model, sum({USD}) FROM h GROUP BY 1 ORDER BY 1")
    assert result.set_index("model")["usd"].to_dict() == pytest.approx(dict(dollars))
    unpriced = sql(
        server,
        f"SELECT model, sum(CASE WHEN {USD} IS NULL THEN cost_tokens ELSE 0 END) FROM h "
        "WHERE cost_tokens IS NOT NULL GROUP BY 1 ORDER BY 1",
    )
    assert rows(result, "model", "unpriced_tokens") == unpriced
    assert result.attrs["unknown_models"] == ["home-made"]


def test_burn_rate_and_forecast(server: Server, df: pd.DataFrame) -> None:
    """The sliding window and the average rate equal SQL."""
    ((total, _, first, last),) = sql(
        server, f"SELECT sum({USD}), count(*), min(timestamp), max(timestamp) FROM h"
    )
    rates = analysis.burn_rate(df, "10min")
    expected = sql(
        server,
        "SELECT m.timestamp, 6.0 * coalesce((SELECT sum(cost_tokens) FROM h WHERE h.timestamp <= "
        "m.timestamp AND h.timestamp > m.timestamp - 600000000), 0) FROM (SELECT DISTINCT "
        "timestamp FROM h WHERE cost_tokens IS NOT NULL OR timestamp = (SELECT max(timestamp) "
        "FROM h)) m ORDER BY 1",
    )
    assert rows(rates, "timestamp", "tokens_per_hour") == expected
    ((_, spent, rate, projected, within, at),) = rows(
        analysis.forecast_budget(df, 2 * total, NOW + timedelta(hours=1)),
        *("budget", "spent", "usd_per_hour", "projected", "within_budget", "exhausted_at"),
    )
    hours = (last - first) / 3.6e9
    assert spent == pytest.approx(total)
    assert rate == pytest.approx(total / hours)
    end = (NOW + timedelta(hours=1)).timestamp() * 1e6
    assert projected == pytest.approx(total + total / hours * (end - last) / 3.6e9)
    assert within == (projected <= 2 * total)
    assert at == pytest.approx(last + (last - first), abs=10)


def test_sessions_features_agents_and_summary(server: Server, df: pd.DataFrame) -> None:
    """Start, end, tools, errors, tokens and dollars equal SQL."""
    errors = "sum(coalesce(status, '') = 'error' OR event_type IN ('tool_error', 'error'))"
    measures = f"sum({TOOLS}), {errors}, coalesce(sum(cost_tokens), 0)"
    names = ("tools", "errors", "tokens")
    ends = "min(timestamp), max(timestamp)"
    table = analysis.sessions(df)
    assert rows(table, "agent_id", "session_id", "start", "end", *names, "features") == sql(
        server,
        f"SELECT agent_id, session_id, {ends}, {measures}, count(DISTINCT feature_id) FROM h "
        "GROUP BY 1, 2 ORDER BY 3",
    )
    assert rows(analysis.features(df), "feature_id", "start", "end", *names, "agents") == sql(
        server,
        f"SELECT feature_id, {ends}, {measures}, count(DISTINCT agent_id) FROM h "
        "GROUP BY 1 ORDER BY feature_id IS NULL, 1",
    )
    by_agent = analysis.agents(df)
    assert rows(by_agent, "agent_id", *names, "sessions") == sql(
        server,
        f"SELECT agent_id, {measures}, count(DISTINCT session_id) FROM h GROUP BY 1 ORDER BY 1",
    )
    dollars = sql(server, f"SELECT agent_id, sum({USD}) FROM h GROUP BY 1")
    assert by_agent.set_index("agent_id")["usd"].to_dict() == pytest.approx(dict(dollars))
    whole = analysis.summary(df)
    columns = ("start", "end", "agents", "sessions", "features", "events", *names)
    assert rows(whole, *columns) == sql(
        server,
        f"SELECT {ends}, count(DISTINCT agent_id), count(DISTINCT session_id), "
        f"count(DISTINCT feature_id), count(*), {measures} FROM h",
    )
    for measure in ("active", "waiting"):
        assert whole[measure][0] == table[measure].sum() == by_agent[measure].sum()


def test_timeline_waiting_time_and_concurrency(server: Server, df: pd.DataFrame) -> None:
    """Agents are active from the prompt, waiting from the permission request, then idle and
    offline.
    """
    boundary = {"prompt": "active", "permission_request": "waiting", "answered": "active"}
    boundary |= {"stop": "idle", "session_start": "idle", "session_end": "offline"}
    cases = " ".join(f"WHEN '{kind}' THEN '{status}'" for kind, status in boundary.items())
    expected = sql(
        server,
        f"SELECT agent_id, CASE event_type {cases} END, timestamp, lead(timestamp, 1, "
        "(SELECT max(timestamp) FROM h)) OVER (PARTITION BY agent_id ORDER BY timestamp, seq) "
        f"FROM h WHERE event_type IN {tuple(boundary)} ORDER BY 1, 3",
    )
    cut = []
    for agent, status, start, end in expected:
        # After the end of its turn an agent is idle for five minutes and offline after 30.
        assert end - start < 1800e6 or status == "offline"
        cut.append((agent, status, start, end))
    result = analysis.timeline(df)
    assert rows(result, "agent_id", "status", "start", "end") == cut
    waits = {agent: 0 for agent, *_ in cut}
    for agent, status, start, end in cut:
        waits[agent] += (end - start) if status == "waiting" else 0
    waited = analysis.waiting_time(df)
    assert dict(rows(waited, "agent_id", "total")) == waits
    assert waited["waits"].tolist() == [2, 2, 2]
    level = analysis.concurrency(df, "5min")
    # The last period is averaged up to the newest timestamp.
    newest = df["timestamp"].max()
    begins = level["timestamp"].tolist()
    lengths = [
        (end - start) / pd.Timedelta("1us")
        for start, end in zip(begins, [*begins[1:], newest], strict=True)
    ]
    for status in ("active", "waiting", "idle"):
        total = sum(
            end - start for _, interval_status, start, end in cut if interval_status == status
        )
        assert math.isclose((level[status] * lengths).sum(), total, rel_tol=1e-9)


def test_compare(server: Server, df: pd.DataFrame) -> None:
    """Two sessions are compared by agent."""
    later = df["session_id"].astype(str).str.endswith("1")
    result = analysis.compare(df[~later], df[later], by="agent_id")
    tools = result[result["measure"] == "tools"]
    assert rows(tools, "agent_id", "a", "b") == sql(
        server,
        f"SELECT agent_id, 1.0 * sum(session_id LIKE '%0'), 1.0 * sum(session_id LIKE '%1') FROM h "
        f"WHERE {TOOLS} GROUP BY 1 ORDER BY 1",
    )


def test_timeline_ends_with_status_of_server(server: Server, tmp_path: Path) -> None:
    """The last status of the timeline equals load_presence, including timer events."""

    def agreed() -> bool:
        presence = load_presence(server.db).set_index("agent_id")
        last = analysis.timeline(load_history(server.db)).groupby("agent_id", observed=True)
        now = last["status"].last().astype(str).replace("waiting", "active")
        return now.to_dict() == presence["status"].astype(str).to_dict()

    wait_until(agreed, "the same statuses")
