"""A server imports the sessions that are there when it starts, in a child process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.sync.client import connect

from htmlgraph_nb import load_history, load_transcripts, token_costs
from htmlgraph_nb.core.ids import agent_id_of
from htmlgraph_nb.ingest.backfill_process import BackfillOptions
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.file_table import read_session_files
from htmlgraph_server.background.backfiller import Backfiller
from tests.helpers.database_files import query_rows
from tests.helpers.server_process import Server
from tests.helpers.session_home import SessionHome, call, prompt
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

ASKING = "1b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
RUNNING = "2b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
QUESTION = [prompt(), call("AskUserQuestion")]
BASH = [prompt(), call("Bash")]
HOLD = "import sys, time; f = open(sys.argv[1], 'a'); print(1, flush=True); time.sleep(600)"


@pytest.fixture
def home(tmp_path: Path) -> SessionHome:
    """Return the home folder of the server."""
    return SessionHome(tmp_path / "user")


@pytest.fixture
def holder() -> Iterator[Any]:
    """Start processes that hold a session file open, as an agent does."""
    with ExitStack() as stack:

        def hold(path: Path) -> subprocess.Popen[bytes]:
            child = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
            stack.callback(child.wait)
            stack.callback(child.kill)
            assert child.stdout is not None
            stack.callback(child.stdout.close)
            child.stdout.readline()
            return child

        yield hold


def report_of(server: Server) -> dict[str, Any] | None:
    """Return the ``backfill`` object of the status."""
    report: dict[str, Any] | None = server.get("/api/status").json()["backfill"]
    return report


def finished(server: Server) -> dict[str, Any]:
    """Wait for the end of the backfill and return its report."""

    def done() -> dict[str, Any] | None:
        report = report_of(server)
        return report if report is not None and report["state"] == "done" else None

    report = wait_until(done, "the end of the backfill", 60)
    assert report is not None
    return report


def status_of(server: Server, session: str) -> tuple[str, str, bool]:
    """Return status, detail and attention of a session of Claude Code."""
    name = agent_id_of(session, "claude")
    # The server reads what the process has stored every 20 ms.
    agent = wait_until(lambda: server.presence().get(name), "the agent")
    assert agent is not None
    return agent["status"], agent["detail"], bool(agent.get("attention"))


def test_server_imports_sessions_of_all_agents(serve: Serve, home: SessionHome) -> None:
    """Sessions of the last 24 hours are shown, older ones are history; costs are those of files."""
    for agent in ("claude", "codex", "gemini"):
        for age in (timedelta(hours=2), timedelta(hours=30), timedelta(days=6), timedelta(days=40)):
            home.add(agent, age)
    server = serve(environ=home.environ)
    report = finished(server)
    assert report["sessions"] == {"claude": 3, "codex": 3, "gemini": 3}
    assert (report["days"], report["files"], report["files_done"]) == (30, 9, 9)
    assert report["bytes"] == report["bytes_done"] > 0
    assert len(server.presence()) == 3
    assert {agent["status"] for agent in server.presence().values()} <= {"idle", "offline"}

    frames = [
        load_transcripts(path, since="31d", progress=False)
        for path in (home.path / ".claude", home.path / ".codex", home.path / ".gemini")
    ]
    history = load_history(str(server.db))
    stored = history[~history["source"].isin(["timer", "process", "import"])]
    assert len(stored) == sum(map(len, frames)) == report["events"]
    costs = token_costs(history, freq="D")
    expected = sum(token_costs(frame)["usd"].sum() for frame in frames)
    assert costs["usd"].sum() == pytest.approx(expected)
    week = history[history["timestamp"] >= history["timestamp"].max() - timedelta(days=6.9)]
    assert report["cost_7d_usd"] == pytest.approx(token_costs(week)["usd"].sum())
    log = server.log()
    assert "found 9 sessions: Claude Code 3, Codex 3, Gemini CLI 3; reading the last 30 d" in log
    assert f"imported {report['events']} events of 9 sessions; $" in log
    assert "Claude Code deletes its session files after 30 days" in log


def test_server_reads_nothing_twice(serve: Serve, home: SessionHome) -> None:
    """A later start reads only what is new or changed."""
    home.add("claude", timedelta(hours=2), ASKING)
    home.add("codex", timedelta(days=3))
    first = serve(environ=home.environ)
    finished(first)
    rows = query_rows(str(first.db), "SELECT count(*) FROM events")
    first.stop()
    second = serve(environ=home.environ, home=first.home)
    assert finished(second)["files"] == 0
    assert query_rows(str(first.db), "SELECT count(*) FROM events") == rows
    assert "nothing new since the last start" in second.log()
    assert "deletes its session files" not in second.log()
    second.stop()
    home.add("gemini", timedelta(hours=1))
    path = home.file_of("claude", ASKING)
    os.utime(path, (path.stat().st_mtime + 60, path.stat().st_mtime + 60))
    third = serve(environ=home.environ, home=first.home)
    assert finished(third)["files"] == 2
    # The server reads what the process has stored every 20 ms.
    wait_until(lambda: len(third.presence()) == 2, "both sessions")


def test_question_of_live_process_waits(serve: Serve, home: SessionHome, holder: Any) -> None:
    """A question waits as long as its process lives, however old; without a process it is idle."""
    asking = home.add_claude(ASKING, timedelta(minutes=12), QUESTION)
    other = home.add_claude(RUNNING, timedelta(minutes=12), QUESTION)
    old = "3b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
    process = holder(asking)
    holder(home.add_claude(old, timedelta(hours=50), QUESTION))
    server = serve(environ=home.environ)
    finished(server)
    assert status_of(server, ASKING) == ("active", "waiting_input", True)
    assert status_of(server, old) == ("active", "waiting_input", True)
    assert status_of(server, RUNNING) == ("idle", "unknown", False)
    assert server.presence()[agent_id_of(ASKING, "claude")]["alive"]
    assert other.exists()
    # The server goes on to watch the process.
    process.kill()
    wait_until(lambda: status_of(server, ASKING)[0] == "offline", "the exit of the process", 60)


def test_open_call_of_ended_process_is_not_active(serve: Serve, home: SessionHome) -> None:
    """An open call does not keep a session active whose process ended while no server ran."""
    home.add_claude(ASKING, timedelta(minutes=40), BASH)
    home.add_claude(RUNNING, timedelta(minutes=2), BASH)
    status = home.path / ".claude" / "sessions" / "4000000.json"
    status.parent.mkdir()
    record = {"pid": 4_000_000, "sessionId": RUNNING, "startedAt": (time.time() - 600) * 1_000}
    status.write_text(json.dumps(record))
    server = serve(environ=home.environ)
    finished(server)
    assert status_of(server, ASKING)[0] == "offline"
    agent_id = agent_id_of(RUNNING, "claude")
    wait_until(lambda: server.presence().get(agent_id, {}).get("status") == "offline", "the exit")


def test_process_that_ended_between_two_servers(
    serve: Serve, home: SessionHome, holder: Any
) -> None:
    """After a restart a session is offline whose process was known and is gone."""
    process = holder(home.add_claude(ASKING, timedelta(minutes=12), QUESTION))
    first = serve(environ=home.environ)
    finished(first)
    assert status_of(first, ASKING) == ("active", "waiting_input", True)
    first.stop()
    process.kill()
    process.wait()
    second = serve(environ=home.environ, home=first.home)
    wait_until(lambda: status_of(second, ASKING)[0] == "offline", "the exit")


def test_session_tells_its_user_and_host(serve: Serve, home: SessionHome) -> None:
    """The owner of the file and the name of this machine are stored with the session."""
    pwd = pytest.importorskip("pwd")
    home.add("codex", timedelta(hours=1))
    server = serve(environ=home.environ)
    finished(server)
    (agent,) = server.presence().values()
    assert agent["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert agent["host"] == os.uname().nodename


@pytest.mark.parametrize("flags", [("--backfill", "off"), ("--no-watch",)])
def test_backfill_off_imports_nothing(
    serve: Serve, home: SessionHome, flags: tuple[str, ...]
) -> None:
    """Without a backfill only new lines are read."""
    home.add("claude", timedelta(hours=2))
    server = serve(*flags, environ=home.environ)
    report = report_of(server)
    assert report is not None
    assert (report["state"], report["events"]) == ("off", 0)


def test_backfill_of_all_files(serve: Serve, home: SessionHome) -> None:
    """``all`` has no limit."""
    home.add("claude", timedelta(days=400))
    server = serve("--backfill", "all", environ=home.environ)
    report = finished(server)
    assert (report["days"], report["files"]) == (None, 1)
    assert "reading all" in server.log()


def test_server_without_agents_has_no_backfill(serve: Serve, home: SessionHome) -> None:
    """On a machine without session files nothing is started."""
    server = serve(environ=home.environ)
    assert report_of(server) is None


def test_dashboards_get_the_progress(serve: Serve, home: SessionHome) -> None:
    """``server_info`` follows the state, and comes again at the end."""
    home.add("claude", timedelta(hours=2))
    server = serve(environ=home.environ)
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        while True:
            message = json.loads(dashboard.recv(timeout=30))
            if message["type"] == "server_info" and message["backfill"]["state"] == "done":
                break
    assert message["backfill"] == report_of(server)
    assert message["quotas"] == []
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        types = [json.loads(dashboard.recv(timeout=30))["type"] for _ in range(2)]
    assert types == ["presence_state", "server_info"]


def big_home(home: SessionHome, n_sessions: int = 60) -> None:
    """Add as many sessions as an import needs a few seconds for."""
    for number in range(n_sessions):
        home.add(("claude", "codex", "gemini")[number % 3], timedelta(hours=1 + number / 10))


def child_of(server: Server) -> psutil.Process | None:
    """Return the process of the backfill; None: there is none."""
    for child in psutil.Process(server.pid).children():
        try:
            if "htmlgraph_nb.ingest.backfill_process" in child.cmdline():
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def test_backfill_ends_with_a_killed_server(serve: Serve, home: SessionHome) -> None:
    """After SIGKILL in the middle, nothing goes on, and the next start counts nothing twice."""
    big_home(home)
    server = serve(environ=home.environ)
    child = wait_until(lambda: child_of(server), "the process")
    assert child is not None
    wait_until(lambda: (report_of(server) or {}).get("files"), "the first report")
    server.kill()
    wait_until(lambda: not child.is_running() or child.status() == "zombie", "its end")
    again = serve(environ=home.environ, home=server.home)
    finished(again)
    expected = sum(
        len(load_transcripts(home.path / name, progress=False))
        for name in (".claude", ".codex", ".gemini")
    )
    history = load_history(str(server.db))
    stored = history[~history["source"].isin(["timer", "process", "import"])]
    assert len(stored) == expected
    assert len(again.presence()) == 60
    with closing(open_reader(str(server.db))) as db:
        assert len(read_session_files(db)) == 60


def test_backfill_is_repeated_after_its_process_was_killed(
    home: SessionHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt comes a minute later and imports the rest."""
    big_home(home, 30)
    for name, value in home.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.delenv("CODEX_HOME", raising=False)
    now = 0.0
    lines: list[str] = []
    backfiller = Backfiller(BackfillOptions(str(tmp_path / "h.db")), clock=lambda: now)
    backfiller.on_line = lines.append
    backfiller.check()
    process = backfiller._process
    assert process is not None
    wait_until(lambda: lines, "the first report", 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    backfiller.check()
    assert backfiller._process is None
    now = 61.0
    backfiller.check()
    wait_until(lambda: (backfiller.status() or {}).get("state") == "done", "the end", 60)
    wait_until(lambda: backfiller.check() or backfiller._process is None, "the end of the process")
    backfiller.check()
    assert backfiller._process is None
    backfiller.close()
    assert len(load_history(str(tmp_path / "h.db"))["session_id"].dropna().unique()) == 30


def test_backfiller_kills_a_process_that_does_not_end(
    tmp_path: Path, home: SessionHome, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that waits for a disk does not keep the server from ending."""
    home.add("claude", timedelta(hours=1))
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)"
    backfiller = Backfiller(BackfillOptions(str(tmp_path / "h.db")), (sys.executable, "-uc", code))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environ.items():
            patch.setenv(name, value)
        backfiller.check()
    process = backfiller._process
    assert process is not None
    wait_until(lambda: "printed '1" in caplog.text, "the process to ignore SIGTERM")
    backfiller.close()
    assert process.returncode == -signal.SIGKILL


def test_backfiller_ignores_other_lines(tmp_path: Path, home: SessionHome) -> None:
    """What the startup files of a user's Python print is no report."""
    home.add("claude", timedelta(hours=1))
    customize = tmp_path / "site" / "sitecustomize.py"
    customize.parent.mkdir()
    customize.write_text("print('hello')\nprint([])\n")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environ.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(customize.parent))
        backfiller = Backfiller(BackfillOptions(str(tmp_path / "h.db")))
        backfiller.on_line = lines.append
        backfiller.check()
    wait_until(lambda: (backfiller.status() or {}).get("state") == "done", "the end", 60)
    backfiller.close()
    assert lines[0].startswith("found 1 session: Claude Code 1")


def test_backfill_process_ends_if_its_parent_has_ended(tmp_path: Path) -> None:
    """The server was killed while its child started."""
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    options = BackfillOptions(str(tmp_path / "h.db"), parent=parent.pid).to_json()
    command = [sys.executable, "-m", "htmlgraph_nb.ingest.backfill_process", options]
    run = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_follower_continues_during_a_backfill(serve: Serve, home: SessionHome) -> None:
    """Lines that are written meanwhile are shown at once."""
    big_home(home)
    path = home.add_claude(ASKING, timedelta(0), BASH)
    server = serve(environ=home.environ)
    agent_id = agent_id_of(ASKING, "claude")
    wait_until(lambda: server.presence().get(agent_id, {}).get("last_tool_name") == "Bash", "it")
    fresh = home.add_claude(RUNNING, timedelta(0), [call("Read", "toolu_2")])
    text = fresh.read_bytes().replace(RUNNING.encode(), ASKING.encode())
    fresh.unlink()
    with path.open("ab") as file:
        file.write(text)
    wait_until(lambda: server.presence()[agent_id].get("last_tool_name") == "Read", "the line")
    finished(server)


def test_leader_alone_imports(serve: Serve, home: SessionHome) -> None:
    """Of two servers on a database one imports, and both show the sessions."""
    home.add("claude", timedelta(hours=2))
    leader = serve(environ=home.environ)
    finished(leader)
    other = serve(environ=home.environ, home=leader.home)
    wait_until(lambda: len(other.presence()) == 1, "the session")
    assert report_of(other) is None
    leader.stop()
    wait_until(lambda: report_of(other) is not None, "the new leader")
    shutil.rmtree(home.path / ".claude")
