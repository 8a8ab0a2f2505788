"""History in every format: the same rows, bounded memory, and no worker left behind."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import polars as pl
import psutil
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.client.discovery import candidates
from htmlgraph_nb.client.rest import Rest, history_parameters
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import COLUMNS_TYPE
from htmlgraph_nb.core.timestamps import from_micros, to_rfc3339
from htmlgraph_nb.errors import ConnectError, ServerRefused
from htmlgraph_nb.storage.columnar.arrow_schema import select_schema
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

START = datetime(2026, 1, 14, 14, 50, tzinfo=UTC)
UNTIL = START + timedelta(days=1)
"""Before what the server's own timers say of agents that are so long silent."""
N_ROWS = 2_600
TEXTS = ("Bash", 'Ed"it', "a,b", "zwei\r\nZeilen", "\u2028ä🤖", "'x'")


def example(n: int) -> Event:
    """Return the n-th event: each field present and absent, with difficult texts and numbers."""
    return Event(
        agent_id=f"agent-{n % 7}",
        event_type="tool_execute" if n % 2 else "completion",
        timestamp=START + timedelta(seconds=n % 500, microseconds=n),
        event_id=f"e-{n}" if n % 4 else None,
        session_id=f"s-{n % 11}" if n % 3 else None,
        tool_name=TEXTS[n % len(TEXTS)] if n % 2 else None,
        tool_use_id=f"toolu_{n}" if n % 2 else None,
        feature_id=TEXTS[n % 5] if n % 3 else None,
        model="claude-opus-4-5",
        status=(None, "ok", "error")[n % 3],
        input_tokens=(2**53 - 1, 0, 17, None)[n % 4],
        cost_tokens=n,
        cost_usd=(0.1 + n / 3, 1e-9 * n, None, 0.0)[n % 4],
        extra={"n": n, "t": TEXTS[n % len(TEXTS)], "f": 0.1, "l": [None, True]} if n % 5 else None,
    )


@pytest.fixture(scope="module")
def filled(module_server: Server) -> Server:
    """A server with more events than one chunk."""
    with PresenceManager(str(module_server.db)) as manager:
        manager.ingest([example(n) for n in range(N_ROWS)])
    return module_server


def rest(server: Server) -> Rest:
    """Return the client of a server."""
    return Rest(lambda: candidates(server.url, None))


def rows_of_file(server: Server, query: HistoryQuery) -> list[dict[str, Any]]:
    """Return the rows of the file in the form of the JSON response."""
    batches = read_batches(str(server.db), query)
    return as_json([row for batch in batches for row in batch.to_pylist()])


def as_json(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert rows of Arrow batches to the form of the JSON response."""
    for row in rows:
        if "timestamp" in row:
            row["timestamp"] = to_rfc3339(row["timestamp"])
        if row.get("extra") is not None:
            row["extra"] = json.loads(row["extra"])
    return rows


def path_of(query: HistoryQuery, kind: str, **more: str) -> str:
    """Return the request path of a query."""
    return (
        f"/api/history?{urlencode([*history_parameters(query), ('format', kind), *more.items()])}"
    )


def json_rows(server: Server, query: HistoryQuery) -> list[dict[str, Any]]:
    """Follow the cursor of JSON pages of 700 events."""
    parameters = [pair for pair in history_parameters(query) if pair[0] != "limit"]
    events: list[dict[str, Any]] = []
    cursor: list[tuple[str, str]] = []
    while True:
        left = 700 if query.limit is None else min(700, query.limit - len(events))
        page = server.get(
            f"/api/history?{urlencode([*parameters, ('limit', left), *cursor])}"
        ).json()
        events += page["events"]
        if not page["more"] or len(events) == query.limit:
            return events
        cursor = [("cursor", page["cursor"])]


def ndjson_rows(server: Server, query: HistoryQuery) -> list[dict[str, Any]]:
    """Return the objects of the lines."""
    body = server.get(path_of(query, "ndjson")).body
    return [json.loads(line) for line in body.split(b"\n") if line]


def csv_rows(server: Server, query: HistoryQuery) -> list[dict[str, Any]]:
    """Return the fields with the types of the schema."""
    lines = csv.DictReader(io.StringIO(server.get(path_of(query, "csv")).text, newline=""))
    kinds = select_schema(HISTORY_COLUMNS)

    def value(name: str, text: str) -> Any:
        if text == "":
            return None
        kind = kinds.field(name).type
        if name == "extra" or pa.types.is_boolean(kind):
            return json.loads(text)
        if pa.types.is_int64(kind):
            return int(text)
        # Texts that a spreadsheet would compute begin with an apostrophe.
        return float(text) if pa.types.is_float64(kind) else text.removeprefix("'")

    return [{name: value(name, text) for name, text in line.items()} for line in lines]


def arrow_rows(server: Server, query: HistoryQuery) -> list[dict[str, Any]]:
    """Return the rows of the Arrow stream in the form of the JSON response."""
    with pa.ipc.open_stream(server.get(path_of(query, "arrow")).body) as reader:
        return as_json([row for batch in reader for row in batch.to_pylist()])


def client_rows(server: Server, query: HistoryQuery) -> list[dict[str, Any]]:
    """Return the rows that the Rest client gets, in the form of the JSON response."""
    return as_json([row for b in rest(server).history_batches(query) for row in b.to_pylist()])


READERS = {
    "json": json_rows,
    "ndjson": ndjson_rows,
    "csv": csv_rows,
    "arrow": arrow_rows,
    "client": client_rows,
}

some_agents = st.none() | st.lists(st.sampled_from([f"agent-{n}" for n in range(9)]), min_size=1)
some_time = st.none() | st.integers(-10, 600).map(lambda s: START + timedelta(seconds=s))
columns = st.just(HISTORY_COLUMNS) | st.lists(
    st.sampled_from(HISTORY_COLUMNS), min_size=1, unique=True
).map(lambda names: ("seq", *(name for name in names if name != "seq")))
queries = st.builds(
    HistoryQuery,
    since=some_time,
    until=st.just(UNTIL) | some_time.map(lambda at: at or UNTIL),
    agents=some_agents,
    tools=st.none() | st.lists(st.sampled_from(TEXTS), min_size=1),
    columns=columns,
    limit=st.none() | st.sampled_from([1, 699, 700, 1_000, 1_001, 2_599, 2_600, 2_601]),
    newest_first=st.booleans(),
)


@pytest.mark.parametrize("kind", READERS)
@settings(
    max_examples=8,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(query=queries)
def test_history_formats_equal_the_stored_rows(
    filled: Server, kind: str, query: HistoryQuery
) -> None:
    """Each format returns the rows of the file, value for value, in either order."""
    assert READERS[kind](filled, query) == rows_of_file(filled, query)


@pytest.mark.parametrize("kind", READERS)
def test_history_returns_all_rows_and_columns(filled: Server, kind: str) -> None:
    """The rows span several chunks."""
    rows = READERS[kind](filled, HistoryQuery(until=UNTIL))
    assert len(rows) == N_ROWS
    assert rows == rows_of_file(filled, HistoryQuery(until=UNTIL))


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_arrow_stream_has_documented_schema(filled: Server, compression: str) -> None:
    """The schema is present even without rows."""
    for agents, n_rows in ((None, N_ROWS), (["unknown"], 0)):
        query = HistoryQuery(until=UNTIL, agents=agents)
        response = filled.get(path_of(query, "arrow", compression=compression))
        assert response.headers["content-type"] == "application/vnd.apache.arrow.stream"
        with pa.ipc.open_stream(response.body) as reader:
            assert reader.schema.equals(select_schema(HISTORY_COLUMNS))
            assert reader.read_all().num_rows == n_rows


def test_arrow_stream_is_read_by_polars(serve: Serve) -> None:
    """Also names that first appear after many rows, as in every history that is not sealed."""
    server = serve("--seal", "off")
    with PresenceManager(str(server.db)) as manager:
        manager.ingest([Event(agent_id=f"agent-{n // 500}", timestamp=START) for n in range(9_500)])
    body = server.get(path_of(HistoryQuery(until=UNTIL), "arrow")).body
    frame = pl.read_ipc_stream(io.BytesIO(body))
    names = frame["agent_id"].cast(pl.String).to_list()
    assert names == [f"agent-{n // 500}" for n in range(9_500)]


def test_few_rows_need_no_worker(filled: Server) -> None:
    """Rows come as columns if the client accepts them, in order and up to the limit."""
    query = HistoryQuery(until=UNTIL, columns=("extra", "timestamp"), limit=2, newest_first=True)
    response = filled.get(path_of(query, "arrow"), Accept=f"x/y, {COLUMNS_TYPE}")
    assert response.headers["content-type"] == COLUMNS_TYPE
    [line] = response.text.splitlines()
    rows = rows_of_file(filled, replace(query, columns=("seq", "timestamp", "extra")))
    values = json.loads(line)
    assert values["seq"] == [row["seq"] for row in rows] == [N_ROWS, N_ROWS - 1]
    assert [from_micros(n) for n in values["timestamp"]] == [
        datetime.fromisoformat(row["timestamp"]) for row in rows
    ]
    assert [json.loads(text) for text in values["extra"] if text] == [
        row["extra"] for row in rows if row["extra"]
    ]
    none = filled.get(path_of(HistoryQuery(agents=["x"]), "arrow"), Accept=COLUMNS_TYPE)
    assert (none.status, none.body) == (200, b"")


@pytest.mark.parametrize("query", [HistoryQuery(), HistoryQuery(agents=["a", "b"])])
def test_many_rows_come_as_arrow(long: Server, query: HistoryQuery) -> None:
    """More than 5,000 rows come from a worker, also if only the filters could tell."""
    response = long.get(path_of(query, "arrow"), Accept=COLUMNS_TYPE)
    assert response.headers["content-type"] == "application/vnd.apache.arrow.stream"
    rows = rest(long).history_batches(replace(query, limit=5_001, columns=("seq",)))
    assert sum(map(len, rows)) == 5_001


def test_accept_header_selects_the_format(filled: Server) -> None:
    """The ``format`` parameter is absent."""
    response = filled.get("/api/history?limit=1", Accept="application/vnd.apache.arrow.stream")
    assert pa.ipc.open_stream(response.body).read_all().num_rows == 1


@pytest.mark.parametrize("kind", ["json", "ndjson", "csv", "arrow"])
@pytest.mark.parametrize("compression", ["gzip", "", "zstd&compression=lz4", "%ff"])
def test_unknown_compression_returns_400(
    module_server: Server, kind: str, compression: str
) -> None:
    """The error names the parameter, for every format."""
    response = module_server.get(f"/api/history?format={kind}&compression={compression}")
    assert (response.status, response.error["field"]) == (400, "compression")


def test_rest_client_raises_typed_errors(filled: Server) -> None:
    """Errors of the server and errors of the arguments have their own types."""
    with pytest.raises(ServerRefused, match="agent"):
        list(rest(filled).history_batches(HistoryQuery(agents=["\0"])))
    with pytest.raises(ValueError, match="after_seq"):
        list(rest(filled).history_batches(HistoryQuery(after_seq=1)))


# Processes


def children(server: Server) -> list[psutil.Process]:
    """Return the export workers of a server."""
    workers = []
    for process in psutil.Process(server.pid).children(recursive=True):
        try:
            if "htmlgraph_server.history.export_worker" in process.cmdline():
                workers.append(process)
        except psutil.NoSuchProcess:
            continue
    return workers


def has_exited(process: psutil.Process) -> bool:
    """Return whether a process has exited, even if it is a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def long(serve: Serve) -> Server:
    """A server with more history than the buffers of pipes and sockets."""
    server = serve("--seal", "off", "--stall-timeout", "10m")
    # No compression makes it fit.
    source = random.Random(1)
    with PresenceManager(str(server.db)) as manager:
        for start in range(0, 18_000, 1_000):
            manager.ingest(
                [
                    Event(
                        agent_id="a",
                        timestamp=START,
                        extra={"n": n, "text": source.randbytes(2_500).hex()},
                    )
                    for n in range(start, start + 1_000)
                ]
            )
    return server


def stalled(server: Server, stack: ExitStack, kind: str = "ndjson") -> socket.socket:
    """Return a connection that requested the whole history and does not read."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    stack.enter_context(connection)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", server.port))
    head = f"GET /api/history?format={kind} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(head.encode())
    return connection


@pytest.mark.parametrize("kind", ["ndjson", "csv", "arrow"])
def test_disconnect_ends_the_export_worker(long: Server, kind: str) -> None:
    """The worker lives as long as its client, and the server's memory stays bounded."""
    before = psutil.Process(long.pid).memory_info().rss
    with ExitStack() as stack:
        stalled(long, stack, kind)
        wait_until(lambda: len(children(long)) == 1, "a worker runs")
        assert long.get("/api/status").status == 200
        assert psutil.Process(long.pid).memory_info().rss - before < 60 << 20
    wait_until(lambda: not children(long), "the process ended with its client")


def first_refused(readers: list[socket.socket]) -> socket.socket | None:
    """Return the connection that got 429; its response is still unread."""
    for connection in readers:
        connection.setblocking(False)
        try:
            head = connection.recv(64, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if head.startswith(b"HTTP/1.1 429 "):
            return connection
    return None


def test_export_workers_are_limited(long: Server) -> None:
    """Two run at a time; 16 requests wait for their full response; others get a 429."""
    with ExitStack() as stack:
        readers = [stalled(long, stack) for _ in range(19)]
        refused = wait_until(lambda: first_refused(readers), "a request too many", 60)
        assert refused is not None
        response = refused.recv(65_536)
        assert b"Retry-After: 1\r\n" in response
        assert b'"code":"history_busy"' in response
        assert len(children(long)) == 2
        # Short responses need no worker.
        assert long.get("/api/history?format=csv&limit=10").status == 200
        assert len(long.get("/api/history?limit=10000").json()["events"]) >= 6_000
    wait_until(lambda: not children(long), "all processes ended with their clients")
    assert long.get("/api/history?format=ndjson").body.count(b"\n") >= 6_000


@pytest.mark.parametrize("server", [("--stall-timeout", "1s")], indirect=True)
def test_stalled_export_client_is_disconnected(server: Server) -> None:
    """After the stall timeout the connection is closed and the worker ends."""
    with PresenceManager(str(server.db)) as manager:
        events = [
            Event(agent_id="a", timestamp=START, extra={"n": n, "x": "y" * 10_000})
            for n in range(2_500)
        ]
        manager.ingest(events)
    with ExitStack() as stack:
        connection = stalled(server, stack)
        wait_until(lambda: len(children(server)) == 1, "a worker runs")
        wait_until(lambda: not children(server), "it was ended")
        connection.settimeout(30)
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert not received.endswith(b"\r\n0\r\n\r\n")


def test_killed_export_worker_aborts_the_response(long: Server) -> None:
    """The client sees that the response is incomplete."""
    connection = http.client.HTTPConnection("127.0.0.1", long.port, timeout=60)
    connection.request("GET", "/api/history?format=ndjson")
    response = connection.getresponse()
    response.read(1_000)
    [child] = wait_until(lambda: children(long), "a worker runs") or []
    child.kill()
    with pytest.raises(http.client.HTTPException):
        response.read()
    connection.close()
    batches: Iterator[pa.RecordBatch] = rest(long).history_batches(HistoryQuery())
    next(batches)
    for process in children(long):
        process.kill()
    with pytest.raises(ConnectError, match="incomplete response"):
        list(batches)


def test_export_workers_end_with_the_server(long: Server) -> None:
    """A stalled reader does not delay the shutdown, and no process remains."""
    with ExitStack() as stack:
        stalled(long, stack)
        [child] = wait_until(lambda: children(long), "a worker runs") or []
        assert long.stop(signal.SIGTERM) == 0
        wait_until(lambda: has_exited(child), "the process ended with the server")


@pytest.mark.parametrize("question", [b"", b'{"path": "/no'])
def test_export_worker_without_request_exits_silently(question: bytes) -> None:
    """It writes neither output nor a traceback."""
    command = [sys.executable, "-m", "htmlgraph_server.history.export_worker"]
    run = subprocess.run(command, input=question, capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (1, b"", b"")


def test_export_workers_end_with_a_killed_server(long: Server) -> None:
    """The server cannot end them itself."""
    with ExitStack() as stack:
        stalled(long, stack)
        [child] = wait_until(lambda: children(long), "a worker runs") or []
        os.kill(long.pid, signal.SIGKILL)
        wait_until(lambda: has_exited(child), "the process ended with the server")
