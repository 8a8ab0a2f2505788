"""What a grid is set to, told and asked, against the real server; no page."""

from __future__ import annotations

import threading

import ipywidgets
import pytest

from htmlgraph_nb.errors import ConfigError, InvalidEvent, ServerNotFound
from htmlgraph_nb.history.load import HISTORY_DTYPES
from htmlgraph_nb.widget.agent_grid import AgentGrid
from tests.helpers.fake_websocket_server import ScriptedServer, close, presence, state, stay, update
from tests.helpers.wait import wait_until
from tests.integration.widget.test_agent_grid import RecordedGrid

SETTINGS = {
    "view": "table",
    "filter": {"status": ["waiting"], "text": "fix"},
    "sort": "-cost",
    "group_by": "project",
    "columns": ["agent", "cost"],
}


def test_the_view_is_set_by_arguments_and_by_traits(server):
    """Both go to the page under the same names; what the page sets can be observed."""
    with AgentGrid(server.url, **SETTINGS) as grid:
        synced = grid.get_state()
        assert {name: synced[name] for name in SETTINGS} == SETTINGS
        assert (synced["selected"], synced["replay"]) == (None, None)
        seen = []
        grid.observe(lambda change: seen.append(change["new"]), ["selected", "filter"])
        grid.set_state({"selected": "claude-1", "filter": {"model": "m"}})
        assert seen == ["claude-1", {"model": ["m"]}]
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
        ("columns", ["size"], "expected one of agent"),
        ("filter", {"size": 1}, "expected text, status"),
        ("selected", 3, "expected an agent's id"),
    ],
)
def test_what_the_view_cannot_be_is_refused(server, name, value, text):
    """As an argument and as a trait, with what it can be; nothing is left behind."""
    with pytest.raises(ConfigError, match=text):
        AgentGrid(server.url, **{name: value})
    assert not [one for one in threading.enumerate() if one.name.startswith("htmlgraph-")]
    with AgentGrid(server.url) as grid:
        before = getattr(grid, name)
        with pytest.raises(ConfigError, match=text):
            setattr(grid, name, value)
        assert getattr(grid, name) == before


def test_an_alert_is_called_for_what_agents_do(server):
    """Waiting, a budget, an error: once each, until it is ended; and close ends all."""
    server.send("asks", "permission_request", tool_name="Bash")
    calls: list[tuple[str, str]] = []

    def note(what):
        return lambda one: calls.append((what, one.agent_id))

    grid = AgentGrid(server.url)
    grid.on_attention(note("attention"))
    end = grid.alert({"tokens_over": 100}, note("tokens"))
    grid.alert("error", note("error"), agents=["a"])
    assert calls == [("attention", "asks")]
    server.send("a", cost_tokens=60)
    server.send("a", cost_tokens=60, status="error")
    server.send("b", cost_tokens=500, status="error")
    wait_until(lambda: len(calls) == 4, "three more calls")
    assert sorted(calls[1:]) == [("error", "a"), ("tokens", "a"), ("tokens", "b")]
    end()
    end()
    server.send("c", cost_tokens=500)
    server.send("c", "permission_request")
    wait_until(lambda: ("attention", "c") in calls, "the next agent that waits")
    assert ("tokens", "c") not in calls
    grid.close()
    with AgentGrid(server.url) as other:
        server.send("d", "permission_request")
        wait_until(lambda: "d" in other.agents, "a further agent")
    assert ("attention", "d") not in calls


def test_a_callback_that_fails_ends_nothing(server, caplog):
    """The feeder and the other callbacks go on; it is logged."""
    calls: list[str] = []

    def broken(_):
        raise RuntimeError("broken bell")

    with RecordedGrid(server.url) as grid:
        grid.on_attention(broken)
        grid.on_attention(lambda one: calls.append(one.agent_id))
        server.send("a", "permission_request")
        server.send("b", "permission_request")
        wait_until(lambda: calls == ["a", "b"], "both calls")
        wait_until(lambda: {"a", "b"} <= grid.page.agents.keys(), "the agents on the page")
        assert grid.status == "connected"
    assert caplog.text.count("RuntimeError: broken bell") == 2


def test_old_errors_are_no_alert():
    """What is in the first state was before; what comes on top is told, once."""
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
    with ScriptedServer(script) as scripted, AgentGrid(scripted.url) as grid:
        grid.alert("error", lambda one: calls.append((one.agent_id, one.total_errors)))
        wait_until(lambda: grid.status == "connected", "the first state")
        more.set()
        wait_until(lambda: "b" in grid.agents, "the last update")
        wait_until(lambda: len(calls) == 2, "both calls")
    # Both may have come with one message, in which agents have no order.
    assert sorted(calls) == [("a", 5), ("b", 1)]


def test_the_history_of_the_grids_server(server):
    """With the filters of load_history, and by the page's own question."""
    for tool in ("Read", "Edit", "Bash"):
        server.send("a", tool_name=tool, session_id="s-1")
    server.send("b")
    with RecordedGrid(server.url) as grid:
        frame = grid.history(agents="a", columns=["tool_name"])
        assert list(frame["tool_name"]) == ["Read", "Edit", "Bash"]
        assert grid.history().dtypes.astype(str).to_dict().keys() == HISTORY_DTYPES.keys()
        with pytest.raises(InvalidEvent, match="unknown column"):
            grid.history(columns=["time"])
        ask = {"kind": "history", "request": 3, "agent_id": "a", "limit": 2}
        grid._handle_custom_msg(ask, [])
        answer = wait_until(
            lambda: next((one for one in grid.sent if one["kind"] == "history"), None), "an answer"
        )
        assert (answer["request"], answer["agent_id"], answer["error"]) == (3, "a", None)
        assert [one["tool_name"] for one in answer["events"]] == ["Bash", "Edit"]
        assert answer["events"][0]["timestamp"].endswith("Z")


def test_without_a_server_there_is_no_history(serve):
    """It says what was tried, to Python and to the page."""
    server = serve()
    server.stop()
    with RecordedGrid(server.url) as grid:
        with pytest.raises(ServerNotFound, match="connection refused"):
            grid.history()
        grid._handle_custom_msg({"kind": "history", "request": 1, "agent_id": "a"}, [])
        answer = wait_until(
            lambda: next((one for one in grid.sent if one["kind"] == "history"), None), "an answer"
        )
        assert answer["events"] == []
        assert "connection refused" in answer["error"]


def test_a_token_opens_the_history_too(serve):
    """The grid's own token goes with what it asks."""
    server = serve("--token", "secret-of-the-test")
    server.send("a")
    with AgentGrid(server.url, token="secret-of-the-test") as grid:
        assert len(grid.history()) == 1


def test_the_last_minutes_are_those_of_the_server(server):
    """What happened before the grid was made is in its state, and goes on being counted."""
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
                "activity" in one["state"] and one["state"]["activity"]["agents"]
                for one in grid.sent
                if one["kind"] == "keyframe"
            ),
            "a keyframe with the counts",
        )


def test_a_server_without_activity_is_no_trouble(caplog):
    """An older one: what is seen from now on is counted."""
    more = threading.Event()
    script = [
        state("e", 1, presence("a", 1)),
        lambda _: more.wait(30),
        update("a", 2, total_tools_executed=1),
        stay,
    ]
    with ScriptedServer(script) as scripted, AgentGrid(scripted.url) as grid:
        wait_until(lambda: grid.status == "connected", "the first state")
        more.set()
        wait_until(
            lambda: grid.get_state()["state"]["activity"]["agents"], "what the update counts"
        )
        assert grid.status == "connected"
    assert "ERROR" not in caplog.text


def test_a_snapshot_is_static(server):
    """It shows where no widget can live, and does not change any more."""
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


def test_it_lives_in_tabs_boxes_and_outputs(server):
    """As every ipywidget; a layout that is given stays its giver's."""
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


def test_closing_while_the_first_questions_run_is_no_trouble(caplog):
    """A grid that lives for a moment only leaves nothing behind."""
    steps = [[state("e", 1, presence("a", 1)), close(1001)] for _ in range(3)]
    with ScriptedServer(*steps) as scripted:
        for _ in range(3):
            AgentGrid(scripted.url).close()
    wait_until(
        lambda: not [one for one in threading.enumerate() if one.name.startswith("htmlgraph-")],
        "the end of the threads",
    )
    assert "ERROR" not in caplog.text
