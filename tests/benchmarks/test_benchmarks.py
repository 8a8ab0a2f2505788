"""The benchmarks run, and every frame that they count arrives; no figure is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.paths import ROOT


def run_quick(name: str, *flags: str) -> list[dict[str, Any]]:
    """Run a benchmark with ``--quick`` and return its figures."""
    figures: list[dict[str, Any]] = run_object(name, *flags)
    return figures


def run_object(name: str, *flags: str) -> Any:
    """Run a benchmark with ``--quick`` and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", "--quick", "--json", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_fanout_server_and_peers_deliver_every_frame() -> None:
    """The server and each peer send all frames to all clients and have figures."""
    rows = run_quick("fanout")
    servers = [row["server"] for row in rows]
    assert servers == ["htmlgraph", "hub", "floor", "websockets", "tornado"]
    for row in rows:
        assert row["frames"] == row["expected"] > 0, row
        assert row["p50_ms"] is not None
        assert row["core"] > 0
        assert row["rss_mb"] > 1


def test_fanout_inside_jupyter_delivers_every_frame() -> None:
    """So does the standalone server, without and with kernels that stream output."""
    rows = run_quick("fanout", "--jupyter")
    assert [row["server"] for row in rows] == ["htmlgraph", "jupyter", "kernels", "streaming"]
    for row in rows:
        assert row["frames"] == row["expected"] > 0, row


def test_fanout_ceiling_delivers_every_frame() -> None:
    """The hub, fed in its own process, sends all frames to all clients."""
    [row] = run_quick("fanout", "--ceiling")
    assert row["frames"] == row["expected"] > 0


@pytest.mark.parametrize("column", ["events_per_s", "answer_p99_ms", "frame_p99_ms", "core"])
def test_ingest_accepts_and_delivers_all(column: str, ingest_rows: list[dict[str, Any]]) -> None:
    """Both routes accept all events, each dashboard receives them, and there are figures."""
    assert [row["route"] for row in ingest_rows] == ["POST /api/events", "WS /ws/events"]
    for row in ingest_rows:
        assert row["frames"] == row["expected"] > 0
        assert row[column] > 0


@pytest.fixture(scope="module")
def ingest_rows() -> list[dict[str, Any]]:
    """Run the benchmark once."""
    return run_quick("ingest")


def test_stall_dashboard_converges() -> None:
    """A stalled dashboard delays no other and ends with the state of the server."""
    without, stalled = run_quick("stall")
    assert without["delivered"] == stalled["delivered"] == 1
    assert without["converged_s"] is None
    assert stalled["converged_s"] > 0
    assert stalled["states"] >= 1


def test_update_presence_measures_each_way() -> None:
    """Each way of writing has a figure for both settings of synchronous."""
    rows = run_quick("update_presence")
    assert len(rows) == 6
    assert all(row["us_per_call"] > 0 for row in rows)


def test_replay_measures_index_and_folding() -> None:
    """Both ways have figures for the same history; only the index has steps."""
    index, folding = run_quick("replay")
    assert (index["way"], folding["way"]) == ("index", "folding")
    assert index["events"] == folding["events"] == 20_000
    assert 0 < index["jump_p50_ms"] <= index["jump_p99_ms"] <= index["jump_max_ms"]
    assert index["step_p50_ms"] > 0
    assert folding["jump_p50_ms"] > 0


def test_follow_sees_every_line_each_way() -> None:
    """The server and each peer see every line that was written."""
    rows = run_quick("follow")
    assert [row["way"] for row in rows] == ["server", "mixed", "follower", "watchfiles", "rereader"]
    for row in rows:
        assert row["seen"] == row["calls"] > 0, row
        assert row["p50_ms"] > 0


def test_widget_sync_measures_each_message() -> None:
    """Batches of both sizes and the snapshot have figures."""
    rows = run_quick("widget_sync", "--agents", "500", "--changes", "10", "100")
    assert [row["message"] for row in rows] == ["batch", "batch", "snapshot"]
    assert rows[0]["kb"] < rows[1]["kb"] < rows[2]["kb"]
    assert all(row["take_ms"] > 0 and row["encode_ms"] > 0 for row in rows)


def test_otlp_measures_each_encoding_and_peer() -> None:
    """Each encoding and the peer have figures; each dashboard gets an update per record."""
    rows = run_quick("otlp", "--only", "none,protobuf,json,peer")
    assert [row["sent_as"] for row in rows] == ["none", "protobuf", "json", "peer"]
    for row in rows[:3]:
        assert row["frames"] == row["expected"] > 0, row
    for row in rows[1:]:
        assert row["records"] >= 500
        assert row["answer_p99_ms"] > 0
        assert row["us_per_record"] > 0


def test_alerts_are_evaluated_and_delivered() -> None:
    """Each server delivers all frames, and with rules also webhooks."""
    rows = run_quick("alerts")
    cases = ["evaluate, default", "evaluate, all", "without", "default", "all"]
    assert [row["case"] for row in rows] == cases
    assert all(row["us_per_change"] > 0 for row in rows[:2])
    assert all(row["delivered"] == 1 for row in rows[2:])
    assert all(row["delivery_ms"] > 0 for row in rows[3:])


def test_responsiveness_measures_beside_each_sender() -> None:
    """Small requests are answered beside each sender, and without one."""
    rows = run_quick("responsiveness")
    assert [row["sender"] for row in rows] == [
        "none",
        "empty groups, gzip",
        "10,000 events, ws",
        "presence",
    ]
    for row in rows:
        assert row["requests"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]


@pytest.mark.parametrize("kind", ["ws", "hooks", "sdk", "sigterm", "servers"])
def test_kill_rounds_lose_nothing(kind: str) -> None:
    """No acknowledged event is lost or stored twice, and the client that resumes is right.

    ``http`` is tested in tests/integration/storage/test_durability.py.
    """
    [figures] = run_quick("kill_rounds", "--only", kind)
    assert figures["rounds"] == 1
    assert figures["acknowledged"] > 0
    assert [figures[name] for name in ("missing", "twice", "gaps", "wrong")] == [0] * 4
    assert figures["problems"] == []


def test_soak_has_no_problems() -> None:
    """Dashboards equal the server, nothing is lost, and nothing is left open after some faults."""
    figures = run_object("soak")
    assert figures["problems"] == []
    assert figures["n_acknowledged"] > 0
    assert sum(figures["faults"].values()) > 0
