"""The clock of a replay, its data source, and presence_at."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta

import numpy as np
import pandas as pd
import pytest

from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.errors import ConfigError, InvalidEvent
from htmlgraph_nb.history.load import PRESENCE_DTYPES
from htmlgraph_nb.replay.index import HistoryIndex
from htmlgraph_nb.replay.narrow import filter_frame, parse_when
from htmlgraph_nb.widget.replay_source import Playback, ReplaySource, check_speed, presence_at
from tests.helpers.strategies import T0, at
from tests.helpers.wait import wait_until
from tests.unit.replay.test_index import frame_of

SECOND = 1_000_000


def make_event(agent: str, second: float, kind: str = "tool_execute", **fields) -> Event:
    """Return one event, some seconds after T0."""
    if kind.startswith("tool"):
        fields.setdefault("tool_name", "Bash")
    return Event(agent_id=agent, event_type=kind, timestamp=at(second), **fields)


EVENTS = [
    make_event("a", 0, "prompt", session_id="s-1"),
    make_event("a", 10, session_id="s-1", cost_tokens=100),
    make_event("b", 20, "permission_request", tool_name="Edit"),
    make_event("b", 30, tool_name="Edit", status="error"),
    make_event("a", 40, "stop"),
    make_event("b", 400, "stop"),
]


def micros(second: float) -> int:
    """Return a time in microseconds since 1970."""
    return to_micros(at(second))


class Clock:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_playback_stops_at_the_end():
    """Paused it shows one time, playing it advances, and at the end it starts again."""
    still = Playback(0, 100 * SECOND, 0, speed=10)
    assert still.at(5) == 0
    playing = still.play(5)
    assert playing.at(7) == 20 * SECOND
    assert playing.at(1000) == 100 * SECOND
    assert playing.pause(7).at(50) == 20 * SECOND
    assert playing.pause(1000).play(2000).at(2000) == 0
    faster = playing.at_speed(20, 7)
    assert faster.at(8) == 40 * SECOND
    assert playing.seek(70 * SECOND, 9).at(10) == 80 * SECOND
    assert playing.seek(-5, 9).at(9) == 0
    assert playing.seek(10**15, 9).at(9) == 100 * SECOND


@pytest.mark.parametrize("speed", [0, -1, 86_401, float("nan"), "fast", None, True])
def test_check_speed_refuses_out_of_bounds(speed):
    """The message has the bounds."""
    with pytest.raises(ConfigError, match="above 0, up to 86400"):
        check_speed(speed)


def test_replay_source_unsubscribing_twice_is_ignored():
    """An alert may be removed before the grid is closed, which removes all."""
    source = ReplaySource(HistoryIndex(frame_of(EVENTS)), 60)
    calls = []
    unsubscribe = source.on_change(lambda changed, _: calls.append(changed))
    unsubscribe()
    unsubscribe()
    source.seek(micros(25))
    assert calls == []


def test_replay_source_jump_requests_snapshot():
    """A jump in either direction; the seq of the states only grows."""
    source = ReplaySource(HistoryIndex(frame_of(EVENTS)), 60)
    changes, wholes, shown = [], [], []
    source.on_change(lambda changed, agents: changes.append((changed, dict(agents))))
    source.on_reset(lambda: wholes.append(1))
    source.on_playback(lambda: shown.append(source.state()))
    first = source.view()
    assert (list(first.agents), first.at, first.replaying) == (["a"], T0, True)
    source.seek(micros(25))
    view = source.view()
    assert view.at == at(25)
    assert view.agents["b"].attention
    assert changes[-1] == ({"a", "b"}, view.agents)
    seq = view.cursor.seq
    assert max(one.seq for one in view.agents.values()) == seq
    source.seek(micros(5))
    back = source.view()
    assert list(back.agents) == ["a"]
    assert back.agents["a"].total_tools_executed == 0
    assert back.agents["a"].seq > seq
    assert len(wholes) == 2
    assert [one["at"][17:19] for one in shown] == ["55", "35"]
    assert source.state() == {
        "start": "2025-01-14T14:50:30.000000Z",
        "end": "2025-01-14T14:57:10.000000Z",
        "at": "2025-01-14T14:50:35.000000Z",
        "playing": False,
        "speed": 60,
    }


def test_playing_moves_it_to_the_end_and_ends_the_thread():
    """Agents change on the way, also by silence; then the thread ends."""
    clock = Clock()
    source = ReplaySource(HistoryIndex(frame_of(EVENTS)), 60, clock)
    changed: set[str] = set()
    source.on_change(lambda ids, _: changed.update(ids))
    source.play()
    assert source.state()["playing"]
    clock.now = 0.5
    wait_until(lambda: source.view().at == at(30), "the time to pass")
    assert changed == {"a", "b"}
    clock.now = 100.0
    wait_until(lambda: not source.state()["playing"], "the end")
    assert source.view().at == at(400)
    assert source.view().agents["a"].status is PresenceStatus.IDLE
    wait_until(lambda: source._thread is None, "the end of the thread")
    source.play()
    assert source.view().at == T0
    source.close()
    wait_until(lambda: source._thread is None, "the end of the thread")


def test_replay_source_pause_shows_exact_time():
    """A change of speed continues from the time shown."""
    clock = Clock()
    source = ReplaySource(HistoryIndex(frame_of(EVENTS)), 10, clock)
    source.play()
    clock.now = 1.0
    source.set_speed(20)
    clock.now = 2.0
    source.pause()
    assert source.view().at == at(30)
    source.close()


def test_history_index_counts_last_minutes():
    """Later events are not counted."""
    index = HistoryIndex(frame_of(EVENTS))
    found = index.activity(index.at(micros(35)))
    assert found["at"] == "2025-01-14T14:51:05.000000Z"
    assert found["agents"] == {
        "a": {"events": [0] * 13 + [2, 0], "errors": [0] * 15},
        "b": {"events": [0] * 13 + [1, 1], "errors": [0] * 14 + [1]},
    }
    assert index.activity(index.at(index.start - 1))["agents"] == {}


def test_replay_source_recent_ends_at_shown_time():
    """Newest first, as JSON objects; none for an unknown agent."""
    source = ReplaySource(HistoryIndex(frame_of(EVENTS)), 60)
    source.seek(micros(35))
    first, second = source.recent("b", 10)
    assert (first["timestamp"], first["status"]) == ("2025-01-14T14:51:00.000000Z", "error")
    assert second["event_type"] == "permission_request"
    assert "status" not in second
    assert "cost_tokens" not in second
    assert [one["event_type"] for one in source.recent("b", 1)] == ["tool_execute"]
    assert source.recent("nobody", 10) == []
    source.seek(micros(0))
    assert source.recent("b", 10) == []


def test_presence_at_is_typed_as_load_presence():
    """One row per agent with the totals up to that time."""
    found = presence_at(frame_of(EVENTS), at(25))
    assert found.dtypes.astype(str).to_dict() == PRESENCE_DTYPES
    assert list(found["agent_id"]) == ["a", "b"]
    assert list(found["attention"]) == [False, True]
    assert list(found["total_cost_tokens"]) == [100, 0]
    later = presence_at(frame_of(EVENTS), at(400 + 1800))
    assert list(later["status"]) == ["offline", "offline"]
    empty = presence_at(frame_of(EVENTS), at(-1))
    assert empty.dtypes.astype(str).to_dict() == PRESENCE_DTYPES
    assert len(empty) == 0
    assert len(presence_at(frame_of([]), T0)) == 0


@pytest.mark.parametrize(
    "when",
    [
        "2025-01-14T14:50:30Z",
        "2025-01-14 15:50:30+01:00",
        T0,
        pd.Timestamp(T0),
        np.datetime64("2025-01-14T14:50:30"),
        T0.astimezone().replace(tzinfo=None),
    ],
)
def test_moment_of_reads_any_form(when):
    """Naive datetimes are local, as in Python; those of numpy are UTC."""
    assert parse_when(when) == T0
    assert parse_when(when).tzinfo is UTC


@pytest.mark.parametrize("when", ["noon", "", None, 5, pd.NaT, timedelta(1)])
def test_moment_of_refuses_other_values(when):
    """The message says what to type."""
    with pytest.raises(InvalidEvent, match="expected an ISO string such as 2025-01-14 14:50"):
        parse_when(when)


def test_narrowed_equals_load_history():
    """Names, times, columns and a limit; unknown arguments are refused."""
    frame = frame_of(EVENTS)
    assert len(filter_frame(frame)) == 6
    assert list(filter_frame(frame, agents="b")["agent_id"]) == ["b"] * 3
    assert len(filter_frame(frame, agents=["a", "b"], event_types="stop", since=at(100))) == 1
    assert len(filter_frame(frame, until=at(20))) == 2
    assert list(filter_frame(frame, columns=["seq"], limit=2)["seq"]) == [1, 2]
    with pytest.raises(InvalidEvent, match="did you mean 'agents'"):
        filter_frame(frame, agent="b")
    with pytest.raises(InvalidEvent, match="unknown column 'time'"):
        filter_frame(frame, columns=["time"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda frame: frame.drop(columns="event_type"), "the frame has no column 'event_type'"),
        (lambda frame: frame.assign(agent_id=None), "agent_id: expected a value in each row"),
        (lambda frame: frame.assign(timestamp=pd.NaT), "timestamp: expected a value"),
        (lambda frame: frame.assign(event_type="stop", extra="{"), "extra: expected a JSON object"),
    ],
)
def test_history_index_refuses_other_frames(change, text):
    """The message has the column."""
    with pytest.raises(InvalidEvent, match=text):
        HistoryIndex(change(frame_of(EVENTS)))


def test_replay_source_view_takes_no_lock():
    """A callback may wait for a lock that a reader of the view holds."""
    source = ReplaySource(HistoryIndex(frame_of(EVENTS)), 60)
    views = []

    def look(_changed, _agents) -> None:
        feeder = threading.Thread(target=lambda: views.append(source.view()))
        feeder.start()
        feeder.join(30)

    source.on_change(look)
    source.seek(micros(25))
    assert [view.at for view in views] == [at(25)]
