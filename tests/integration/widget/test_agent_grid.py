"""AgentGrid with a real server, without a page: lifecycle, threads and messages."""

from __future__ import annotations

import gc
import json
import threading
import weakref

import ipywidgets
import pytest

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import PRESENCE_COLUMNS
from htmlgraph_nb.core.protocol import Cursor
from htmlgraph_nb.widget.agent_grid import AgentGrid
from tests.helpers.fake_websocket_server import announce
from tests.helpers.wait import wait_until


class RecordedPage:
    """Mixin that records the messages to the page, and applies them as a page does."""

    def __init__(self, *args, **kwargs) -> None:
        self.sent: list[dict] = []
        self.page = Mirror()
        super().__init__(*args, **kwargs)

    def send(self, content, buffers=None) -> None:
        content = json.loads(json.dumps(content))
        self.sent.append(content)
        if content["kind"] == "snapshot":
            state = content["state"]
            self.page = Mirror()
            if state["epoch"] is not None:
                self.page.apply({"type": "presence_state", "full": True, **state})
        for message in content.get("messages", ()):
            self.page.apply(message)


class RecordedGrid(RecordedPage, AgentGrid):
    """A grid with a recorded page."""


SHARED_THREADS = ["htmlgraph-client", "htmlgraph-sync"]
"""Threads of any number of grids of one server; that for requests ends with the last one."""


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("htmlgraph-")]


def test_agent_grid_shows_agents_at_once_and_follows_them(server):
    """The first cell has the agents; later messages keep the page equal to the server."""
    server.send("a")
    with RecordedGrid(server.url) as grid:
        assert grid.status == "connected"
        assert grid.url == server.url
        assert grid.agents.keys() == {"a"}
        assert [presence["agent_id"] for presence in grid.state["agents"]] == ["a"]
        for name in ("a", "b", "c", "a"):
            server.send(name)
        wait_until(lambda: len(grid.page.agents) == 3, "the agents on the page")
        expected = server.presence()
        wait_until(
            lambda: (
                {key: presence.to_dict() for key, presence in grid.page.agents.items()} == expected
            ),
            "the same presence on the page",
        )

        def batch_sent() -> bool:
            server.send("a")
            return any(message.get("messages") for message in grid.sent)

        wait_until(batch_sent, "a batch of changes")
        assert [message["n"] for message in grid.sent] == list(range(1, len(grid.sent) + 1))
        assert repr(grid) == f"AgentGrid(3 agents: 3 active; {server.url})"


def test_agent_grid_without_server_shows_help_and_connects_later(serve, own_home):
    """No exception in the cell; when a server starts, the agents appear."""
    first = serve()
    url, port = first.url, str(first.port)
    first.send("a")
    first.stop()
    with RecordedGrid(url) as grid:
        assert grid.status == "connecting"
        assert f"{url} (as given): connection refused" in grid.detail
        assert "htmlgraph-nb serve" in grid.state["connection"]["detail"]
        wait_until(lambda: grid.sent, "the first snapshot")
        assert "htmlgraph-nb serve" in grid.sent[0]["state"]["connection"]["detail"]
        data, _ = grid._repr_mimebundle_()
        assert "htmlgraph-nb serve" in data["text/html"]
        assert data["text/plain"] == "AgentGrid(0 agents; connecting)"
        serve("--port", port, home=first.home)
        announce(own_home)
        wait_until(lambda: "a" in grid.page.agents, "the agent on the page")
        wait_until(lambda: grid.status == "connected", "the status")


def test_agent_grid_status_is_observable(serve):
    """connected, then reconnecting when the server stops, then closed."""
    server = serve()
    statuses: list[str] = []
    grid = AgentGrid(server.url)
    grid.observe(lambda change: statuses.append(change["new"]), "status")
    server.stop()
    wait_until(lambda: grid.status == "reconnecting", "the loss")
    wait_until(lambda: statuses, "the observer")
    grid.close()
    assert statuses == ["reconnecting", "closed"]


def test_agent_grid_close_ends_threads_and_keeps_agents(server):
    """close() twice, in any order with the with statement."""
    server.send("a")
    with AgentGrid(server.url) as grid:
        wait_until(lambda: len(own_threads()) == 2, "only the two shared threads")
        grid.close()
    grid.close()
    wait_until(lambda: not own_threads(), "the end of the threads")
    assert grid.agents.keys() == {"a"}
    assert grid.status == "closed"
    assert repr(grid) == "AgentGrid(1 agent: 1 active; closed)"


def test_agent_grids_of_one_server_share_threads(server):
    """Each run of a cell makes another grid; all of them share two threads."""
    grids = []
    for _ in range(10):
        grids.append(AgentGrid(server.url))
        wait_until(lambda: sorted(own_threads()) == SHARED_THREADS, "only the shared threads")
    assert server.get("/api/status").json()["clients"]["total"] == 1
    for grid in grids:
        grid.close()
    wait_until(lambda: not own_threads(), "the end of the threads")


def test_agent_grid_is_collectable_after_close(server):
    """Neither the client nor the sync thread nor anywidget keeps it alive."""
    grid = AgentGrid(server.url)
    reference = weakref.ref(grid)
    grid.close()
    del grid
    gc.collect()
    wait_until(lambda: gc.collect() >= 0 and reference() is None, "its collection")


def test_agent_grid_close_all_ends_threads(server):
    """The method of ipywidgets that closes every widget."""
    AgentGrid(server.url)
    ipywidgets.Widget.close_all()
    wait_until(lambda: not own_threads(), "the end of the threads")


def test_agent_grid_get_state_is_current(server):
    """The state that a reloaded page requests is current, not that of the last snapshot."""
    with AgentGrid(server.url) as grid:
        server.send("late")
        wait_until(lambda: "late" in grid.agents, "the agent")
        state = grid.get_state()["state"]
        assert [presence["agent_id"] for presence in state["agents"]] == ["late"]
        assert state["epoch"] == Cursor.parse(server.get("/api/status").json()["cursor"]).epoch


def test_agent_grid_ignores_unknown_messages(server):
    """Nothing that a page sends raises in the kernel."""
    with RecordedGrid(server.url) as grid:
        for content in ({"kind": "ping"}, {"kind": "other"}, {}, None, "ping", [1]):
            grid._handle_custom_msg(content, [])
        server.send("a")
        wait_until(lambda: "a" in grid.page.agents, "the agent on the page")


def test_agent_grid_shows_and_logs_send_errors(server, caplog, capfd):
    """The error is in the status and the log; nothing is printed."""

    class Broken(AgentGrid):
        def send(self, content, buffers=None):
            raise LookupError("shell_parent")

    with Broken(server.url) as grid:
        wait_until(lambda: grid.status == "error", "the status")
        assert "the page cannot be reached: LookupError: shell_parent" in grid.detail
        assert "shell_parent" in grid._repr_mimebundle_()[0]["text/html"]
        wait_until(lambda: sorted(own_threads()) == SHARED_THREADS, "only the shared threads")
    assert "LookupError" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_agent_grid_max_rate_can_be_changed(server):
    """By the trait, which is validated."""
    with AgentGrid(server.url, max_rate=5) as grid:
        grid.max_rate = 20
        assert grid._sink.scheduler.max_rate == 20
        with pytest.raises(ValueError, match="must be > 0 and <= 60"):
            grid.max_rate = 0
        assert grid.max_rate == 20


def test_agent_grid_works_in_a_box_with_a_height(server):
    """It is an ipywidgets DOMWidget."""
    with AgentGrid(server.url, height=400) as grid:
        box = ipywidgets.HBox([grid])
        assert grid.layout.height == "400px"
        assert box.children == (grid,)
        box.close()


def test_agent_grid_to_frame(server):
    """One typed row per agent."""
    server.send("a")
    server.send("b", "stop")
    with AgentGrid(server.url) as grid:
        frame = grid.to_frame()
    assert list(frame["agent_id"]) == ["a", "b"]
    assert list(frame["status"]) == ["active", "idle"]
    assert list(frame.columns[:5]) == ["agent_id", "status", "attention", "reason", "title"]
    assert set(frame.columns) == set(PRESENCE_COLUMNS)
    assert str(frame["last_activity"].dtype) == "datetime64[us, UTC]"
