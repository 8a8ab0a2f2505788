"""A host that vanishes and returns, as the dashboards of the other server show it."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from tests.helpers.forwarding import centre_of, differences, edge_of, wait_forwarded
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until


def hosts_of(server: Server) -> list[dict[str, Any]]:
    """Return the hosts that a server knows."""
    hosts: list[dict[str, Any]] = server.get("/api/hosts").json()["hosts"]
    return hosts


def test_lost_host_makes_its_agents_unreachable_until_it_returns(tmp_path: Path) -> None:
    """Agents of a killed host are not active, also after a restart of the centre."""
    centre = centre_of(tmp_path).start()
    edge = edge_of(tmp_path, centre.url).start()
    try:
        edge.send("a", "process_start")
        edge.send("a", "tool_start", tool_name="Bash", tool_use_id="t1")
        edge.send("ended", "session_end")
        wait_forwarded(edge)
        wait_until(lambda: "ended" in centre.presence(), "the agents")
        edge.kill()
        wait_until(lambda: centre.presence()["a"]["detail"] == "unreachable", "the loss")
        lost = centre.presence()["a"]
        assert (lost["status"], lost["alive"]) == ("offline", False)
        assert re.fullmatch(r"host unreachable since \d\d:\d\d UTC", lost["reason"])
        assert centre.presence()["ended"]["detail"] == "done"
        assert [(one["connected"], one["lost"]) for one in hosts_of(centre)] == [(False, True)]
        text = centre.get("/metrics").text
        assert re.search(r'^htmlgraph_host_connected\{host=".*",host_id=".*"\} 0\.0$', text, re.M)
        port = str(centre.port)
        centre.stop()
        centre.arguments[centre.arguments.index("--port") + 1] = port
        centre.start()
        assert centre.presence()["a"]["detail"] == "unreachable"
        assert [one["connected"] for one in hosts_of(centre)] == [False]
        edge.start()
        wait_until(lambda: centre.presence()["a"]["detail"] == "tool", "the return")
        assert [(one["connected"], one["lost"]) for one in hosts_of(centre)] == [(True, False)]
        wait_forwarded(edge)
    finally:
        edge.stop()
        centre.stop()
    assert differences(edge.db, centre.db) == {}


def test_lost_host_is_one_that_hangs(tmp_path: Path) -> None:
    """A host whose connection stays open but silent is lost, too, and returns by itself."""
    centre = centre_of(tmp_path).start()
    edge = edge_of(tmp_path, centre.url).start()
    assert edge.process is not None
    try:
        edge.send("a", "prompt")
        wait_until(lambda: "a" in centre.presence(), "the agent")
        edge.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: centre.presence()["a"]["detail"] == "unreachable", "the loss")
        edge.process.send_signal(signal.SIGCONT)
        wait_until(lambda: centre.presence()["a"]["detail"] == "working", "the return")
    finally:
        edge.process.send_signal(signal.SIGCONT)
        edge.stop()
        centre.stop()
