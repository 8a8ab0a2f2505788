"""AgentGrid with a real server: settings, alerts, history, activity and snapshots."""

from __future__ import annotations

import threading

import ipywidgets
import pytest

from htmlgraph_nb.errors import ConfigError, InvalidEvent, ServerNotFound
from htmlgraph_nb.history.load import HISTORY_DTYPES
from htmlgraph_nb.widget.agent_grid import AgentGrid
from tests.helpers.fake_websocket_server import (
    FakeWebSocketServer,
    close,
    presence,
    state,
    stay,
    update,
)
from tests.helpers.wait import wait_until
from tests.integration.widget.test_agent_grid import RecordedGrid

SETTINGS = {
    "view": "table",
    "filter": {"status": ["waiting"], "text": "fix"},
    "sort": "-cost",
    "group_by": "project",
    "columns": ["agent", "cost"],
}


def history_response(grid: RecordedGrid) -> dict | None:
    """Return the first history response to the page, if any."""
    return next((message for message in grid.sent if message["kind"] == "history"), None)


def test_agent_grid_settings_by_arguments_and_traits(server):
    """Both go to the page under the same names; changes made on the page are observable."""
    with AgentGrid(server.url, **SETTINGS) as grid:
        synced = grid.get_state()
        assert {name: synced[name] for name in SETTINGS} == SETTINGS
        assert (synced["selected"], synced["replay"]) == (None, None)
        changes = []
        grid.observe(lambda change: changes.append(change["new"]), ["selected", "filter"])
        grid.set_state({"selected": "claude-1", "filter": {"model": "m"}})
        assert changes == ["claude-1", {"model": ["m"]}]
        grid.filter = None
        grid.sort = "agent"
        grid.group_by = None
        assert (grid.filter, grid.sort, grid.group_by) == ({}, "agent", None)
    assert AgentGrid(server.url, filter="fix").filter == {"text": "fix"}
    ipywidgets.Widget.close_all()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("view", "grid", "expected one of cards, table, compact"),
        ("sort", "size", "expected one of attention"),
        ("group_by", "tool", "expected one of status"),
        ("columns", ["size"], "expected one of status"),
        ("filter", {"size": 1}, "expected one of text, status"),
        ("selected", 3, "expected an agent id or None"),
    ],
)
def test_agent_grid_rejects_invalid_settings(server, name, value, text):
    """As an argument and as a trait, with the valid values; nothing is left behind."""
    with pytest.raises(ConfigError, match=text):
        AgentGrid(server.url, **{name: value})
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("htmlgraph-")]
    with AgentGrid(server.url) as grid:
        before = getattr(grid, name)
        with pytest.raises(ConfigError, match=text):
            setattr(grid, name, value)
        assert getattr(grid, name) == before


def test_agent_grid_alerts_call_until_removed(server):
    """Waiting, a budget, an error: once each, until the alert is removed or the grid closed."""
    server.send("waiting", "permission_request", tool_name="Bash")
    calls: list[tuple[str, str]] = []

    def record(kind):
        return lambda presence: calls.append((kind, presence.agent_id))

    grid = AgentGrid(server.url)
    grid.on_attention(record("attention"))
    unsubscribe = grid.alert({"tokens_over": 100}, record("tokens"))
    grid.alert("error", record("error"), agents=["a"])
    assert calls == [("attention", "waiting")]
    server.send("a", cost_tokens=60)
    server.send("a", cost_tokens=60, status="error")
    server.send("b", cost_tokens=500, status="error")
    wait_until(lambda: len(calls) == 4, "three more calls")
    assert sorted(calls[1:]) == [("error", "a"), ("tokens", "a"), ("tokens", "b")]
    unsubscribe()
    unsubscribe()
    server.send("c", cost_tokens=500)
    server.send("c", "permission_request")
    wait_until(lambda: ("attention", "c") in calls, "the next waiting agent")
    assert ("tokens", "c") not in calls
    grid.close()
    with AgentGrid(server.url) as other:
        server.send("d", "permission_request")
        wait_until(lambda: "d" in other.agents, "a further agent")
    assert ("attention", "d") not in calls


def test_agent_grid_alert_error_is_logged(server, caplog):
    """The updates and the other callbacks continue."""
    calls: list[str] = []

    def broken(_):
        raise RuntimeError("broken callback")

    with RecordedGrid(server.url) as grid:
        grid.on_attention(broken)
        grid.on_attention(lambda presence: calls.append(presence.agent_id))
        server.send("a", "permission_request")
        server.send("b", "permission_request")
        wait_until(lambda: calls == ["a", "b"], "both calls")
        wait_until(lambda: {"a", "b"} <= grid.page.agents.keys(), "the agents on the page")
        assert grid.status == "connected"
    assert caplog.text.count("RuntimeError: broken callback") == 2


def test_agent_grid_alert_ignores_errors_before_the_first_state():
    """Only later errors are reported, once."""
    more = threading.Event()
    script = [
        state("e", 1, presence("a", 1, total_errors=4)),
        lambda _: more.wait(30),
        update("a", 2, total_errors=5),
        update("a", 3, total_errors=5),
        update("b", 4, total_errors=1),
        stay,
    ]
    calls: list[tuple[str, int]] = []
    with FakeWebSocketServer(script) as scripted, AgentGrid(scripted.url) as grid:
        grid.alert(
            "error", lambda presence: calls.append((presence.agent_id, presence.total_errors))
        )
        wait_until(lambda: grid.status == "connected", "the first state")
        more.set()
        wait_until(lambda: "b" in grid.agents, "the last update")
        wait_until(lambda: len(calls) == 2, "both calls")
    # Both may be in one batch, in which agents have no order.
    assert sorted(calls) == [("a", 5), ("b", 1)]


def test_agent_grid_history(server):
    """With the filters of load_history, and as requested by the page."""
    for tool in ("Read", "Edit", "Bash"):
        server.send("a", tool_name=tool, session_id="s-1")
    server.send("b")
    with RecordedGrid(server.url) as grid:
        frame = grid.history(agents="a", columns=["tool_name"])
        assert list(frame["tool_name"]) == ["Read", "Edit", "Bash"]
        assert grid.history().dtypes.astype(str).to_dict().keys() == HISTORY_DTYPES.keys()
        with pytest.raises(InvalidEvent, match="unknown column"):
            grid.history(columns=["time"])
        request = {"kind": "history", "request": 3, "agent_id": "a", "limit": 2}
        grid._handle_custom_msg(request, [])
        response = wait_until(lambda: history_response(grid), "a response")
        assert (response["request"], response["agent_id"], response["error"]) == (3, "a", None)
        assert [event["tool_name"] for event in response["events"]] == ["Bash", "Edit"]
        assert response["events"][0]["timestamp"].endswith("Z")


def test_agent_grid_history_without_server_raises(serve):
    """The error, also that for the page, contains the addresses tried."""
    server = serve()
    server.stop()
    with RecordedGrid(server.url) as grid:
        with pytest.raises(ServerNotFound, match="connection refused"):
            grid.history()
        grid._handle_custom_msg({"kind": "history", "request": 1, "agent_id": "a"}, [])
        response = wait_until(lambda: history_response(grid), "a response")
        assert response["events"] == []
        assert "connection refused" in response["error"]


def test_agent_grid_history_uses_the_token(serve):
    """The grid's own token is sent with its history requests."""
    server = serve("--token", "test-secret")
    server.send("a")
    with AgentGrid(server.url, token="test-secret") as grid:
        assert len(grid.history()) == 1


def test_agent_grid_activity_continues_the_servers_counts(server):
    """Events before the grid was created are in its state; later ones are added."""
    for _ in range(3):
        server.send("a")
    server.send("a", status="error")

    def events(grid) -> int:
        return sum(grid.get_state()["state"]["activity"]["agents"].get("a", {}).get("events", ()))

    with RecordedGrid(server.url) as grid:
        wait_until(lambda: events(grid) == 4, "the server's counts")
        activity = grid.get_state()["state"]["activity"]
        assert sum(activity["agents"]["a"]["errors"]) == 1
        assert activity["minutes"] == 15
        server.send("a")
        wait_until(lambda: events(grid) == 5, "the next event")
        wait_until(
            lambda: any(
                "activity" in message["state"] and message["state"]["activity"]["agents"]
                for message in grid.sent
                if message["kind"] == "snapshot"
            ),
            "a snapshot with the counts",
        )


def test_agent_grid_counts_activity_without_server_support(caplog):
    """With an older server the counts start at the connection."""
    more = threading.Event()
    script = [
        state("e", 1, presence("a", 1)),
        lambda _: more.wait(30),
        update("a", 2, total_tools_executed=1),
        stay,
    ]
    with FakeWebSocketServer(script) as scripted, AgentGrid(scripted.url) as grid:
        wait_until(lambda: grid.status == "connected", "the first state")
        more.set()
        wait_until(
            lambda: grid.get_state()["state"]["activity"]["agents"], "the count of the update"
        )
        assert grid.status == "connected"
    assert "ERROR" not in caplog.text


def test_agent_grid_snapshot_is_static(server):
    """It can be shown without a widget, and does not change."""
    server.send("a", "permission_request", tool_name="Bash")
    with AgentGrid(server.url) as grid:
        shown = grid.snapshot()
        data, _ = grid._repr_mimebundle_()
        server.send("b")
        wait_until(lambda: "b" in grid.agents, "the next agent")
    assert "waits for you" in shown._repr_html_()
    assert repr(shown) == f"AgentGrid(1 agent: 1 active, 1 waiting for you; {server.url})"
    assert data["text/plain"] == repr(shown)
    assert "waits for you" in data["text/html"]


def test_agent_grid_works_in_tabs_and_boxes(server):
    """As every ipywidget; a layout passed by the user stays open."""
    layout = ipywidgets.Layout(width="50%")
    with AgentGrid(server.url, layout=layout) as grid:
        tab = ipywidgets.Tab([ipywidgets.HBox([grid]), ipywidgets.Output()])
        assert grid.layout is layout
    assert layout.comm is not None
    tab.close()
    grid = AgentGrid(server.url)
    own = grid.layout
    grid.close()
    assert own.comm is None


def test_agent_grid_closed_during_first_requests_leaves_nothing(caplog):
    """A grid that is closed at once leaves no thread and logs no error."""
    steps = [[state("e", 1, presence("a", 1)), close(1001)] for _ in range(3)]
    with FakeWebSocketServer(*steps) as scripted:
        for _ in range(3):
            AgentGrid(scripted.url).close()
    wait_until(
        lambda: (
            not [thread for thread in threading.enumerate() if thread.name.startswith("htmlgraph-")]
        ),
        "the end of the threads",
    )
    assert "ERROR" not in caplog.text
