"""Two real servers, of which one forwards to the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import htmlgraph_nb as hg
from tests.helpers.forwarding import (
    centre_of,
    compare_history,
    differences,
    edge_of,
    wait_forwarded,
)
from tests.helpers.forwarding_rounds import FAULTS, forwarding_rounds
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until


def test_forwarder_sends_every_field_and_presences_are_equal(tmp_path: Path) -> None:
    """The centre has each event once, and the same agents as the edge."""
    centre = centre_of(tmp_path).start()
    edge = edge_of(tmp_path, centre.url).start()
    try:
        for n in range(30):
            edge.send(f"a{n % 3}", "tool_start", tool_name="Bash", tool_use_id=f"t{n}")
            edge.send(
                f"a{n % 3}",
                "tool_result",
                tool_name="Bash",
                tool_use_id=f"t{n}",
                extra={"n": n},
                duration_ms=n,
                host="laptop",
                title="A title",
            )
            edge.send(
                f"a{n % 3}",
                "completion",
                model="claude-opus-4-5",
                input_tokens=n,
                output_tokens=7,
                cost_usd=0.25,
                event_id=f"answer-{n}",
            )
        wait_forwarded(edge)
        assert compare_history(edge, centre) == 90
        hosts = centre.get("/api/hosts").json()["hosts"]
        assert [(one["connected"], one["lost"]) for one in hosts] == [(True, False)]
    finally:
        edge.stop()
        centre.stop()
    assert differences(edge.db, centre.db) == {}
    edge.check_log()
    centre.check_log()


def test_forwarder_loses_and_repeats_nothing_when_an_end_is_killed(tmp_path: Path) -> None:
    """The edge, the connection and the centre end under load; all counts are equal."""
    with forwarding_rounds(tmp_path) as rounds:
        for fault in FAULTS:
            rounds.run(fault, n_posts=10)


def test_forwarder_converges_after_a_long_time_offline(tmp_path: Path) -> None:
    """What was stored meanwhile arrives once, behind what happens now."""
    centre = centre_of(tmp_path).start()
    edge = edge_of(tmp_path, "http://127.0.0.1:9").start()
    try:
        old = datetime.now(UTC) - timedelta(hours=20)
        for start in range(0, 12_000, 2_000):
            events = [
                {
                    "agent_id": f"a{n % 40}",
                    "event_type": "completion",
                    "timestamp": (old + timedelta(seconds=5 * n)).isoformat(),
                    "output_tokens": 1,
                }
                for n in range(start, start + 2_000)
            ]
            assert edge.post("/api/events", events).status == 200
        status = edge.get("/api/status").json()["forwarding"]
        assert (status["state"], status["pending"] > 0) == ("reconnecting", True)
        edge.stop()
        edge = edge_of(tmp_path, centre.url).start()
        edge.send("now", "prompt")
        wait_until(lambda: "now" in centre.presence(), "the newest event")
        wait_forwarded(edge)
        assert compare_history(edge, centre) == 12_001
        tokens = {name: one["total_cost_tokens"] for name, one in centre.presence().items()}
        assert sum(tokens.values()) == 12_000
    finally:
        edge.stop()
        centre.stop()


def test_forwarder_begins_again_for_a_new_database_of_the_centre(tmp_path: Path) -> None:
    """A centre that lost its file gets the whole history again."""
    with forwarding_rounds(tmp_path) as rounds:
        rounds.run("none", n_posts=5)
        rounds.centre.stop()
        for path in rounds.centre.home.glob("test.db*"):
            if path.is_file():
                path.unlink()
        rounds.centre.start()
        rounds.relay.target = rounds.centre.port
        rounds.edge.send("late", "prompt")
        wait_until(lambda: "late" in rounds.centre.presence(), "the last event")
        wait_forwarded(rounds.edge)
        assert compare_history(rounds.edge, rounds.centre) > 10


def test_forwarder_reports_that_it_is_refused(tmp_path: Path) -> None:
    """A wrong token is named in the status and once in the log, without the token."""
    centre = centre_of(tmp_path).start()
    wrong = ("--forward-to", centre.url, "--forward-token", "wrong-token")
    edge = Server(tmp_path / "edge", "--no-watch", *wrong).start()

    def refused() -> bool:
        return bool(edge.get("/api/status").json()["forwarding"]["state"] == "refused")

    try:
        wait_until(refused, "the refusal")
        detail = edge.get("/api/status").json()["forwarding"]["detail"]
        assert "401" in detail or "403" in detail
        assert edge.log().count(detail) == 1
        assert "wrong-token" not in edge.log()
    finally:
        edge.stop()
        centre.stop()


def test_forwarder_does_not_circulate_events(tmp_path: Path) -> None:
    """Two servers that forward to each other have each event once."""
    first = Server(tmp_path / "first", "--no-watch").start()
    second = Server(tmp_path / "second", "--no-watch", "--forward-to", first.url).start()
    port = str(first.port)
    first.stop()
    first.arguments[first.arguments.index("--port") + 1] = port
    first.arguments += ["--forward-to", second.url]
    first.start()
    try:
        for n in range(20):
            first.send("of-first", "prompt", **({"event_id": f"f{n}"} if n % 2 else {}))
            second.send("of-second", "prompt", **({"event_id": f"s{n}"} if n % 2 else {}))
        for server in (first, second):
            wait_until(lambda one=server: len(one.presence()) == 2, "both agents")
            wait_forwarded(server)
        for server in (first, second):
            wait_forwarded(server)
            frame = hg.load_history(str(server.db))
            assert (frame["event_type"] == "prompt").sum() == 40
    finally:
        second.stop()
        first.stop()


def test_forwarder_refuses_its_own_database(tmp_path: Path) -> None:
    """A server that forwards to itself says so."""
    server = Server(tmp_path / "home", "--no-watch").start()
    port = str(server.port)
    server.stop()
    server.arguments[server.arguments.index("--port") + 1] = port
    server.arguments += ["--forward-to", server.url]
    server.start()
    try:
        wait_until(
            lambda: "has this database" in server.get("/api/status").json()["forwarding"]["detail"],
            "the refusal",
        )
    finally:
        server.stop()
