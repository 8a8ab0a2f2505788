"""A replay of what a real server stored, seen as a page sees it."""

from __future__ import annotations

import pandas as pd
import pytest

from htmlgraph_nb import AgentGrid, load_history, load_presence, presence_at, token_costs
from htmlgraph_nb.errors import ConfigError, InvalidEvent
from htmlgraph_nb.widget.replay_grid import ReplayGrid
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.widget.test_agent_grid import SHARED_THREADS, RecordedPage, own_threads

TIMES = [f"2025-01-14T14:50:{second:02d}Z" for second in range(0, 60, 10)]
KINDS = ["prompt", "tool_execute", "tool_execute", "permission_request", "tool_execute", "stop"]


class RecordedReplay(RecordedPage, ReplayGrid):
    """A replay with a recorded page."""


@pytest.fixture
def server(serve: Serve) -> Server:
    """A server that adds no events of its own to those that are so long past."""
    return serve("--idle-timeout", "0", "--offline-timeout", "0", "--forget-after", "0")


@pytest.fixture
def events(server: Server) -> pd.DataFrame:
    """The history of a server to which an agent reported for a minute."""
    for at, kind in zip(TIMES, KINDS, strict=True):
        server.send("a", kind, tool_name="Bash", timestamp=at, cost_tokens=10, session_id="s")
    server.send("b", timestamp=TIMES[-1])
    return load_history(server.url)


def test_replay_end_equals_presence(serve: Serve) -> None:
    """What the server of a busy team holds now is what the replay shows at the end."""
    server = serve("--speed", "100", "--no-browser", "--agents", "12", command="demo")
    wait_until(
        lambda: server.get("/api/status").json()["updates"]["total"] > 600, "some history", 60
    )
    server.stop()
    before = load_presence(server.db)
    frame = load_history(server.db)
    found = presence_at(frame, frame["timestamp"].max())
    # The server knows windows of models; the history has only what agents reported.
    apart = ["since", "seq"]
    apart += ["context_window", "context_source", "compacted_at", "detail_since"]
    apart += ["detail_until", "unseen", "alive"]
    pd.testing.assert_frame_equal(
        found.drop(columns=apart).astype({"status": "string", "detail": "string"}),
        before.drop(columns=apart).astype({"status": "string", "detail": "string"}),
        check_categorical=False,
    )
    assert list(found["seq"]) == list(before["seq"])
    assert before["cost_usd"].notna().any()
    ours = {model: {"input": 1e6, "output": 0.0} for model in frame["model"].cat.categories}
    priced = presence_at(frame, frame["timestamp"].max(), prices=ours)
    assert priced["cost_usd"].sum() == pytest.approx(
        token_costs(frame, by="agent_id", prices=ours)["usd"].sum()
    )
    with AgentGrid.replay(frame, prices=ours) as grid:
        grid.at(frame["timestamp"].max())
        pd.testing.assert_series_equal(grid.to_frame()["cost_usd"], priced["cost_usd"])


def test_replay_grid_shows_any_time(events: pd.DataFrame) -> None:
    """Agents, frame, state and page are those of that time; the page gets a snapshot."""
    with RecordedReplay(events, speed=30) as grid:
        assert grid.status == "connected"
        assert grid.now == pd.Timestamp(TIMES[0])
        assert grid.at("2025-01-14T14:50:35Z") is None, "a cell would show the grid twice"
        assert grid.agents["a"].attention
        assert list(grid.to_frame()["total_tools_executed"]) == [2]
        wait_until(lambda: "a" in grid.page.agents and grid.page.agents["a"].attention, "the page")
        state = grid.get_state()
        assert state["state"]["at"] == "2025-01-14T14:50:35.000000Z"
        assert state["state"]["activity"]["agents"]["a"]["events"] == [0] * 14 + [4]
        assert state["replay"] == {
            "start": "2025-01-14T14:50:00.000000Z",
            "end": "2025-01-14T14:50:50.000000Z",
            "at": "2025-01-14T14:50:35.000000Z",
            "playing": False,
            "speed": 30.0,
        }
        assert "_replay" not in state
        grid.at("2025-01-14T14:50:05Z")
        wait_until(lambda: grid.page.agents["a"].total_tools_executed == 0, "the page to go back")
        with pytest.raises(InvalidEvent, match="expected a time from 2025-01-14T14:50:00"):
            grid.at("2025-01-15")
        data, _ = grid._repr_mimebundle_()
        assert "at 2025-01-14 14:50:05 UTC" in data["text/html"]
        assert "replay of 7 events" in data["text/plain"]
        assert list(grid.history(agents="b")["agent_id"]) == ["b"]


def test_replay_grid_plays_to_the_end(events: pd.DataFrame) -> None:
    """Batches carry its clock, alerts are called, and at the end its thread is gone."""
    waited: list[str] = []
    with RecordedReplay(events, speed=50, max_rate=30) as grid:
        grid.on_attention(lambda one: waited.append(one.agent_id))
        assert grid.play() is None
        assert grid.playing
        # The page is notified last.
        wait_until(lambda: grid._replay["playing"] is False, "the end")
        assert not grid.playing
        assert grid.agents["a"].status == "idle"
        assert grid.now == pd.Timestamp(TIMES[-1])
        wait_until(lambda: grid.page.agents.keys() == {"a", "b"}, "the page")
        assert all("at" in one for one in grid.sent if one["kind"] == "batch")
        wait_until(lambda: "htmlgraph-replay" not in own_threads(), "the end of the thread")
    assert waited == ["a"]
    wait_until(lambda: not own_threads(), "the end of all threads")
    grid.play()
    assert grid.playing is False


def test_replay_grid_obeys_page(events: pd.DataFrame) -> None:
    """Play, pause, seek and speed; nonsense changes nothing; questions get that time's answer."""
    with RecordedReplay(events, speed=0.001) as grid:
        for content in (
            {"speed": 0.002},
            {"seek": "2025-01-14T14:50:25Z"},
            {"play": True},
            {"play": False},
            {"speed": "fast"},
            {"speed": 0},
            {"seek": "noon"},
            {"seek": None},
            {"play": "yes"},
            {},
        ):
            grid._handle_custom_msg({"kind": "replay", **content}, [])
        assert (grid.speed, grid.playing) == (0.002, False)
        assert abs(grid.now - pd.Timestamp("2025-01-14T14:50:25Z")) < pd.Timedelta("1s")
        grid._handle_custom_msg({"kind": "replay", "seek": "2031-01-01T00:00:00Z"}, [])
        assert grid.now == pd.Timestamp(TIMES[-1])
        grid._handle_custom_msg({"kind": "history", "request": 1, "agent_id": "a", "limit": 1}, [])
        answer = wait_until(
            lambda: next((one for one in grid.sent if one["kind"] == "history"), None), "an answer"
        )
        assert [one["event_type"] for one in answer["events"]] == ["stop"]
        grid.speed = 5
        assert grid._replay["speed"] == 5


def test_replay_grid_takes_file_or_server(server, events: pd.DataFrame) -> None:
    """With its bounds in time and the arguments of every grid; live grids do not mind."""
    with (
        AgentGrid.replay(server.url, since=TIMES[1], until=TIMES[4], view="compact") as remote,
        AgentGrid.replay(str(server.db), filter="a") as local,
        AgentGrid.replay(events, since=TIMES[1], until=TIMES[4]) as narrowed,
        AgentGrid(server.url) as live,
    ):
        assert (remote.view, local.filter) == ("compact", {"text": "a"})
        for grid in (remote, narrowed):
            assert grid._replay["start"] == "2025-01-14T14:50:10.000000Z"
            assert grid._replay["end"] == "2025-01-14T14:50:30.000000Z"
        assert live.get_state()["replay"] is None
        wait_until(lambda: sorted(own_threads()) == SHARED_THREADS, "no thread of a replay at rest")


def test_replay_grid_refuses_bad_arguments(events: pd.DataFrame) -> None:
    """Before a grid is made, and nothing is left behind."""
    with pytest.raises(InvalidEvent, match="the history is empty"):
        AgentGrid.replay(events.iloc[:0])
    with pytest.raises(InvalidEvent, match="the frame has no column 'event_type'"):
        AgentGrid.replay(events[["timestamp", "agent_id"]])
    with pytest.raises(ConfigError, match="up to 86400"):
        AgentGrid.replay(events, speed=0)
    with pytest.raises(ConfigError, match="expected one of cards"):
        AgentGrid.replay(events, view="film")
    assert own_threads() == []
