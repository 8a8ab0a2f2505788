"""AgentGrid against the real server, without a page: life cycle, threads, what would be sent."""

from __future__ import annotations

import gc
import json
import threading
import weakref

import ipywidgets
import pytest

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import Cursor
from htmlgraph_nb.widget.agent_grid import AgentGrid
from tests.helpers.fake_websocket_server import announce
from tests.helpers.wait import wait_until


class RecordedGrid(AgentGrid):
    """Keeps what goes to the page, and folds it as a page does."""

    def __init__(self, *args, **kwargs) -> None:
        self.sent: list[dict] = []
        self.page = Mirror()
        super().__init__(*args, **kwargs)

    def send(self, content, buffers=None) -> None:
        content = json.loads(json.dumps(content))
        self.sent.append(content)
        if content["kind"] == "keyframe":
            state = content["state"]
            self.page = Mirror()
            if state["epoch"] is not None:
                self.page.fold({"type": "presence_state", "full": True, **state})
        for message in content.get("messages", ()):
            self.page.fold(message)


LASTING = ["htmlgraph-client", "htmlgraph-feed"]
"""Threads of any number of grids of one server; that for questions ends with the last answer."""


def own_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("htmlgraph-")]


def test_a_grid_knows_the_agents_at_once_and_follows_them(server):
    """In the cell that makes it, and later what the page gets leads to the server's presence."""
    server.send("a")
    with RecordedGrid(server.url) as grid:
        assert grid.status == "connected"
        assert grid.url == server.url
        assert grid.agents.keys() == {"a"}
        assert [one["agent_id"] for one in grid.state["agents"]] == ["a"]
        for name in ("a", "b", "c", "a"):
            server.send(name)
        wait_until(lambda: len(grid.page.agents) == 3, "the agents on the page")
        expected = server.presence()
        wait_until(
            lambda: {key: one.to_dict() for key, one in grid.page.agents.items()} == expected,
            "the same presence on the page",
        )

        def changes_alone() -> bool:
            server.send("a")
            return any(one.get("messages") for one in grid.sent)

        wait_until(changes_alone, "a batch of changes, and not everything anew")
        assert [one["n"] for one in grid.sent] == list(range(1, len(grid.sent) + 1))
        assert repr(grid) == f"AgentGrid(3 agents: 3 active; {server.url})"


def test_a_grid_without_a_server_says_what_to_type_and_finds_it_later(serve, own_home):
    """No exception in the cell; when a server starts, the agents appear."""
    first = serve()
    url, port = first.url, str(first.port)
    first.send("a")
    first.stop()
    with RecordedGrid(url) as grid:
        assert grid.status == "connecting"
        assert f"{url} (as given): connection refused" in grid.detail
        assert "htmlgraph-nb serve" in grid.state["connection"]["detail"]
        wait_until(lambda: grid.sent, "the first keyframe")
        assert "htmlgraph-nb serve" in grid.sent[0]["state"]["connection"]["detail"]
        data, _ = grid._repr_mimebundle_()
        assert "htmlgraph-nb serve" in data["text/html"]
        assert data["text/plain"] == "AgentGrid(0 agents; connecting)"
        serve("--port", port, home=first.home)
        announce(own_home)
        wait_until(lambda: "a" in grid.page.agents, "the agent on the page")
        wait_until(lambda: grid.status == "connected", "the status")


def test_the_status_can_be_observed(serve):
    """connected, then reconnecting when the server stops, then closed."""
    server = serve()
    seen: list[str] = []
    grid = AgentGrid(server.url)
    grid.observe(lambda change: seen.append(change["new"]), "status")
    server.stop()
    wait_until(lambda: grid.status == "reconnecting", "the loss")
    wait_until(lambda: seen, "the observer")
    grid.close()
    assert seen == ["reconnecting", "closed"]


def test_a_closed_grid_leaves_no_thread_and_keeps_its_agents(server):
    """close() twice, in any order with the with statement."""
    server.send("a")
    with AgentGrid(server.url) as grid:
        wait_until(lambda: len(own_threads()) == 2, "no more than the two lasting threads")
        grid.close()
    grid.close()
    wait_until(lambda: not own_threads(), "the end of the threads")
    assert grid.agents.keys() == {"a"}
    assert grid.status == "closed"
    assert repr(grid) == "AgentGrid(1 agent: 1 active; closed)"


def test_running_a_cell_again_adds_no_thread(server):
    """Each run makes another grid; all of them share two threads."""
    grids = []
    for _ in range(10):
        grids.append(AgentGrid(server.url))
        wait_until(lambda: sorted(own_threads()) == LASTING, "no more than the lasting threads")
    assert server.get("/api/status").json()["clients"]["total"] == 1
    for grid in grids:
        grid.close()
    wait_until(lambda: not own_threads(), "the end of the threads")


def test_a_closed_grid_can_be_collected(server):
    """Nothing keeps it: not the client, not the feeder, not anywidget."""
    grid = AgentGrid(server.url)
    gone = weakref.ref(grid)
    grid.close()
    del grid
    gc.collect()
    wait_until(lambda: gc.collect() >= 0 and gone() is None, "its collection")


def test_closing_all_widgets_ends_the_threads(server):
    """ipywidgets' own way to end everything."""
    AgentGrid(server.url)
    ipywidgets.Widget.close_all()
    wait_until(lambda: not own_threads(), "the end of the threads")


def test_a_page_that_is_loaded_later_gets_the_present_state(server):
    """The state that a reloaded page asks for is of now, not of the last keyframe."""
    with AgentGrid(server.url) as grid:
        server.send("late")
        wait_until(lambda: "late" in grid.agents, "the agent")
        state = grid.get_state()["state"]
        assert [one["agent_id"] for one in state["agents"]] == ["late"]
        assert state["epoch"] == Cursor.parse(server.get("/api/status").json()["cursor"]).epoch


def test_a_ping_of_the_page_is_understood_and_others_are_ignored(server):
    """Whatever a page sends, nothing is raised in the kernel."""
    with RecordedGrid(server.url) as grid:
        for content in ({"kind": "ping"}, {"kind": "other"}, {}, None, "ping", [1]):
            grid._handle_custom_msg(content, [])
        server.send("a")
        wait_until(lambda: "a" in grid.page.agents, "the agent on the page")


def test_a_page_that_cannot_be_reached_is_said_by_the_widget(server, caplog, capfd):
    """The kernel's fault is the widget's state and a log entry; nothing is printed."""

    class Broken(AgentGrid):
        def send(self, content, buffers=None):
            raise LookupError("shell_parent")

    with Broken(server.url) as grid:
        wait_until(lambda: grid.status == "error", "the status")
        assert "the page cannot be reached: LookupError: shell_parent" in grid.detail
        assert "shell_parent" in grid._repr_mimebundle_()[0]["text/html"]
        wait_until(lambda: sorted(own_threads()) == LASTING, "no more than the lasting threads")
    assert "LookupError" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_the_rate_can_be_changed_and_is_checked(server):
    """Also later, by the trait."""
    with AgentGrid(server.url, max_rate=5) as grid:
        grid.max_rate = 20
        assert grid._outlet.feed.max_rate == 20
        with pytest.raises(ValueError, match="above 0, up to 60"):
            grid.max_rate = 0
        assert grid.max_rate == 20


def test_it_lives_in_a_box_with_a_height(server):
    """It is an ipywidgets DOMWidget like any other."""
    with AgentGrid(server.url, height=400) as grid:
        box = ipywidgets.HBox([grid])
        assert grid.layout.height == "400px"
        assert box.children == (grid,)
        box.close()


def test_the_agents_as_a_dataframe(server):
    """One row an agent, with types."""
    server.send("a")
    server.send("b", "stop")
    with AgentGrid(server.url) as grid:
        frame = grid.to_frame()
    assert list(frame["agent_id"]) == ["a", "b"]
    assert list(frame["status"]) == ["active", "idle"]
    assert str(frame["last_activity"].dtype) == "datetime64[us, UTC]"
