"""No dead agent is shown as working, and no running one as offline, whatever happens to the server.

Agents are real processes that are killed, servers are real processes that are stopped, crash or
sleep. Where nothing must happen, another agent, of which no process is known, shows that the time
has come at which it would have happened.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.server_process import Server
from tests.helpers.stand_in_agent import StandInAgent
from tests.helpers.wait import wait_until
from tests.integration.conftest import RUNNERS, Serve

SESSION = "5b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
AGENT = "claude-5b9d6f4e"
SHORT = ("--idle-timeout", "4", "--offline-timeout", "8")


def agent_of(server: Server) -> dict[str, Any]:
    """Return the presence of the agent; empty if it is unknown."""
    return server.presence().get(AGENT, {})


def wait_for(server: Server, status: str, reason: str = "") -> None:
    """Wait until the agent has a status, and a reason."""
    what = f"{status} {reason}"
    wait_until(lambda: agent_of(server).get("status") == status, what, interval_s=0.1)
    assert agent_of(server)["reason"].startswith(reason)


def wait_for_timers(server: Server) -> None:
    """Wait until both timers have expired for an agent that sent an event now."""
    server.send("witness", "prompt")
    wait_until(lambda: server.presence()["witness"]["status"] == "offline", "the timers", 60, 0.1)


def types_in(server: Server) -> list[str]:
    """Return the types of the stored events of the agent."""
    with closing(sqlite3.connect(server.db)) as db:
        rows = db.execute("SELECT event_type FROM history WHERE agent_id = ?", (AGENT,)).fetchall()
    return [kind for (kind,) in rows]


@pytest.mark.parametrize("known_by", ["status file", "hooks"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_agent_killed_while_the_server_was_down_is_offline(
    serve: Serve, tmp_path: Path, known_by: str, end: signal.Signals
) -> None:
    """It had an open call, which would else keep it active for hours."""
    home = tmp_path / "home"
    server = serve(home=home)
    with StandInAgent(home, SESSION, server.url) as agent:
        if known_by == "hooks":
            agent.work_with_hooks()
        else:
            agent.say("busy")
            agent.prompt()
            agent.call()
        wait_for(server, "active", "Bash is running")
        wait_until(lambda: "process_start" in types_in(server), "the process")
        # The first guess by the processes above a hook may be another one.
        wait_until(lambda: f'"pid":{agent.pid},' in stored_start(server), "its id")
        server.stop(end)
        agent.kill()
        wait_for(serve(home=home), "offline", "its process exited")


def stored_start(server: Server) -> str:
    """Return the last stored process of the agent as JSON."""
    query = "SELECT extra FROM history WHERE event_type = 'process_start' ORDER BY seq DESC LIMIT 1"
    with closing(sqlite3.connect(server.db)) as db:
        row = db.execute(query).fetchone()
    return "" if row is None else str(row[0]).replace(" ", "")


@pytest.mark.parametrize("runner", RUNNERS)
def test_agent_is_watched_by_the_next_server(tmp_path: Path, runner: str) -> None:
    """An agent that survives a crash of the server stays active, and is offline once it dies."""
    home = tmp_path / "home"
    with RUNNERS[runner](home) as server, StandInAgent(home, SESSION, server.url) as agent:
        agent.work_with_hooks()
        wait_until(lambda: f'"pid":{agent.pid},' in stored_start(server), "its process")
        server.kill()
        with RUNNERS[runner](home) as following:
            wait_for(following, "active", "Bash is running")
            agent.kill()
            wait_for(following, "offline", "its process exited")


@pytest.mark.parametrize("flags", [[], ["--backfill", "off"]])
def test_agent_killed_before_the_first_start_is_offline(
    serve: Serve, tmp_path: Path, flags: list[str]
) -> None:
    """Its status file still says that it is busy."""
    home = tmp_path / "home"
    with StandInAgent(home, SESSION) as agent:
        agent.say("busy")
        agent.prompt(50)
        agent.call(49)
        agent.kill()
    wait_for(serve(*flags, home=home), "offline", "its process exited")


def test_agent_whose_pid_is_reused_is_offline(serve: Serve, tmp_path: Path) -> None:
    """A process with the id in the status file runs, but it is another one."""
    home = tmp_path / "home"
    with StandInAgent(home, SESSION) as agent:
        agent.say("busy", procStart="7")
        agent.prompt(50)
        agent.call(49)
        wait_for(serve(home=home), "offline", "its process exited")


def test_agent_killed_before_its_hooks_were_read_is_offline(serve: Serve, tmp_path: Path) -> None:
    """It ran and died while no server ran; hooks left their reports in the spool."""
    home = tmp_path / "home"
    with StandInAgent(home, SESSION) as agent:
        agent.work_with_hooks()
        agent.kill()
    wait_for(serve("--no-watch", home=home), "offline", "its process exited")


@pytest.mark.skipif(sys.platform != "linux", reason="the boot is known on Linux only")
def test_agent_from_before_a_reboot_is_offline(serve: Serve, tmp_path: Path) -> None:
    """Its process id and start can be those of a process of now."""
    home = tmp_path / "home"
    server = serve(home=home)
    with StandInAgent(home, SESSION, server.url) as agent:
        agent.work_with_hooks()
        wait_until(lambda: f'"pid":{agent.pid},' in stored_start(server), "its process")
        server.stop()
        boot = stored_start(server).split(".")[-2]
        with closing(sqlite3.connect(server.db)) as db, db:
            db.execute("UPDATE events SET extra = replace(extra, ?, ?)", (boot, "0" * 12))
        wait_for(serve(home=home), "offline", "its process exited")
        os.kill(agent.pid, 0)


def test_agent_of_another_container_is_not_called_ended(serve: Serve, tmp_path: Path) -> None:
    """Its process id means nothing here."""
    home = tmp_path / "home"
    with StandInAgent(home, SESSION) as agent:
        agent.say("busy", procStart="7", pidDomain="linux:0123456789abcdef:pid:[1]")
        agent.prompt()
        agent.call()
        server = serve(*SHORT, home=home)
        wait_for(server, "active", "Bash is running")
        wait_for_timers(server)
        wait_for(server, "active", "Bash is running")
        assert not agent_of(server)["alive"]


def test_busy_agent_stays_active_in_a_long_silence(serve: Serve, tmp_path: Path) -> None:
    """It thinks for longer than both timeouts."""
    home = tmp_path / "home"
    with StandInAgent(home, SESSION) as agent:
        agent.say("busy")
        server = serve(*SHORT, home=home)
        agent.prompt()
        wait_for(server, "active", "got a prompt")
        wait_for_timers(server)
        wait_for(server, "active")
        assert types_in(server).count("process_busy") == 1
        assert not {"idle", "offline"} & set(types_in(server))
        agent.kill()
        wait_for(server, "offline", "its process exited")


def test_agent_at_its_prompt_stays_idle(serve: Serve, tmp_path: Path) -> None:
    """It is never offline while its process runs."""
    home = tmp_path / "home"
    with StandInAgent(home, SESSION) as agent:
        agent.say("idle")
        server = serve(*SHORT, home=home)
        agent.prompt()
        agent.answer()
        wait_for(server, "idle", "the turn is over")
        wait_for_timers(server)
        wait_for(server, "idle", "the turn is over")
        # A prompt that was interrupted before any output: only the status file says so.
        agent.prompt()
        agent.say("busy")
        wait_for(server, "active", "got a prompt")
        agent.say("idle")
        wait_for(server, "idle", "is at its prompt")


def test_agent_beside_a_background_shell_is_idle(serve: Serve, tmp_path: Path) -> None:
    """Without its status file it would be active as long as the shell runs."""
    home = tmp_path / "home"
    server = serve(home=home)
    with StandInAgent(home, SESSION, server.url) as agent:
        agent.hook("UserPromptSubmit")
        agent.hook("Stop", background_tasks=[{"status": "running"}])
        wait_for(server, "active", "1 background task")
        agent.say("shell")
        wait_for(server, "idle", "is at its prompt, a background shell runs")


def test_agents_keep_their_status_while_the_machine_sleeps(serve: Serve, tmp_path: Path) -> None:
    """The timers start again on waking, also for an agent whose process is unknown."""
    home = tmp_path / "home"
    server = serve("--no-watch", "--idle-timeout", "6", "--offline-timeout", "7", home=home)
    server.send(AGENT, "prompt")
    os.kill(server.pid, signal.SIGSTOP)
    asleep = time.monotonic()
    wait_until(lambda: time.monotonic() - asleep > 10, "the night")
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: "resumed" in types_in(server), "the first tick")
    assert types_in(server) == ["prompt", "resumed"]
    wait_for(server, "idle", "no activity for a while")
    wait_for(server, "offline", "no activity for too long")
