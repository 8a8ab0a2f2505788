"""Which message a widget gets when, told by a clock that the test moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest

from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.protocol import Cursor
from htmlgraph_nb.core.validation import parse_time
from htmlgraph_nb.widget.sync import SyncThread, UpdateScheduler, View, WidgetSink
from tests.helpers.wait import wait_until

AT = parse_time("2025-01-14T14:50:30Z")
CONNECTED = ConnectionState("connected", None, "connected to http://h:1", "http://h:1")


def agent(name: str, seq: int, **fields) -> AgentPresence:
    return AgentPresence(name, PresenceStatus.ACTIVE, last_activity=AT, seq=seq, **fields)


def view(*agents: AgentPresence, seq: int | None = None, epoch: str = "e") -> View:
    seq = max((one.seq for one in agents), default=0) if seq is None else seq
    return View({one.agent_id: one for one in agents}, Cursor(epoch, seq), CONNECTED, AT)


def fed(now: float = 0.0, max_rate: float = 10.0, shown: View | None = None) -> UpdateScheduler:
    """A feed whose first keyframe has been sent at ``now``."""
    feed = UpdateScheduler(max_rate, now)
    assert feed.take(now, shown or view())["kind"] == "keyframe"
    return feed


def drive(feed: UpdateScheduler, until: float, shown: View, busy: bool = False, start: float = 0.0):
    """Let the time run in steps of 50 ms and return what was sent, as (time, message)."""
    sent = []
    for step in range(1, round((until - start) / 0.05) + 1):
        now = start + step * 0.05
        feed.look(now, busy)
        message = feed.take(now, shown)
        if message is not None:
            sent.append((now, message))
    return sent


def test_the_first_message_is_a_keyframe_with_everything():
    """It is due at once and holds cursor, agents, connection and time."""
    feed = UpdateScheduler(10.0, 100.0)
    assert feed.due_at() <= 100.0
    message = feed.take(100.0, view(agent("a", 3), seq=5))
    assert message == {
        "kind": "keyframe",
        "n": 1,
        "state": {
            "epoch": "e",
            "seq": 5,
            "agents": [
                {
                    "agent_id": "a",
                    "status": "active",
                    "current_feature_id": None,
                    "last_tool_name": None,
                    "last_activity": "2025-01-14T14:50:30.000000Z",
                    "total_tools_executed": 0,
                    "total_cost_tokens": 0,
                    "session_id": None,
                    "detail": "unknown",
                    "seq": 3,
                }
            ],
            "connection": {
                "state": "connected",
                "staleSince": None,
                "detail": "connected to http://h:1",
            },
            "at": "2025-01-14T14:50:30.000000Z",
        },
    }


def test_a_batch_holds_the_latest_state_of_what_changed():
    """Several changes of one agent are one message; an agent that is gone is a removal."""
    feed = fed()
    for _ in range(3):
        feed.note({"a", "gone"})
    message = feed.take(1.0, view(agent("a", 7), agent("b", 2), seq=9))
    assert message["kind"] == "batch"
    assert message["n"] == 2
    assert message["connection"]["state"] == "connected"
    told = {one["agent_id"]: one for one in message["messages"]}
    assert told.keys() == {"a", "gone"}
    assert (told["a"]["type"], told["a"]["seq"]) == ("presence_update", 7)
    assert told["a"]["presence"]["agent_id"] == "a"
    assert (told["gone"]["type"], told["gone"]["seq"]) == ("presence_removed", 9)


def test_what_is_sent_leads_a_mirror_to_the_same_agents():
    """The batch's messages are those of the wire: a mirror that folds them has the same agents."""
    mirror = Mirror()
    feed = fed()
    feed.note(["b", "a"])
    for message in feed.take(1.0, view(agent("b", 2), agent("a", 1)))["messages"]:
        mirror.fold(message)
    feed.note(["a", "b"])
    after = view(agent("a", 3), seq=4)
    for message in feed.take(2.0, after)["messages"]:
        mirror.fold(message)
    assert mirror.agents == dict(after.agents)


def test_batches_never_come_faster_than_the_rate():
    """With changes all the time, a rate of 10 gives ten messages a second."""
    feed = fed()
    sent = []
    for step in range(1, 201):
        now = step * 0.01
        feed.note(["a"])
        message = feed.take(now, view(agent("a", step)))
        if message is not None:
            sent.append(now)
    assert 18 <= len(sent) <= 20
    assert min(b - a for a, b in pairwise(sent)) > 0.099


def test_a_change_after_silence_is_due_at_once():
    """The rate bounds how often, it does not delay the first."""
    feed = fed()
    feed.note(["a"])
    assert feed.due_at() <= 1.0
    assert feed.take(1.0, view(agent("a", 1)))["messages"][0]["agent_id"] == "a"


def test_big_batches_come_less_often():
    """After 900 changes the next batch waits 0.3 s, so that the browser keeps its breath."""
    feed = fed()
    feed.note(f"a{i}" for i in range(900))
    feed.take(1.0, view())
    feed.note(["a1"])
    assert feed.due_at() == pytest.approx(1.3)


def test_silence_is_a_heartbeat_and_no_keyframe():
    """When nothing changes, an empty batch is sent every 5 s."""
    sent = drive(fed(), 21.0, view())
    assert [message["kind"] for _, message in sent] == ["batch"] * 4
    assert all(message["messages"] == [] for _, message in sent)
    assert [now for now, _ in sent] == pytest.approx([5, 10, 15, 20], abs=0.1)


def test_a_keyframe_follows_changes_within_five_seconds_and_only_once():
    """It repairs what a lost batch left wrong; without a further change there is no second one."""
    feed = fed()
    feed.note(["a"])
    sent = drive(feed, 14.0, view(agent("a", 1)))
    kinds = [(round(now), message["kind"]) for now, message in sent]
    assert kinds == [(0, "batch"), (5, "keyframe"), (10, "batch")]


def test_keyframes_of_many_agents_come_less_often():
    """Of 4,000 agents every 20 s: each costs the kernel and the browser more than all batches."""
    many = view(*(agent(f"a{number}", number + 1) for number in range(4000)))
    feed = fed(shown=many)
    kinds = []
    for second in range(2, 42):
        feed.note(["a1"])
        message = feed.take(float(second), many)
        kinds += [second] if message and message["kind"] == "keyframe" else []
    assert kinds == [20, 40]


def test_a_keyframe_can_be_asked_for_and_carries_the_last_minutes():
    """When more is new than the agents that changed."""
    feed = fed()
    feed.request_snapshot()
    shown = replace(view(agent("a", 1)), activity=lambda: {"minutes": 15})
    message = feed.take(1.0, shown)
    assert message["kind"] == "keyframe"
    assert message["state"]["activity"] == {"minutes": 15}


def test_a_batch_of_a_replay_says_its_time():
    """The page's own clock says nothing of it."""
    feed = fed()
    feed.note(["a"])
    message = feed.take(1.0, replace(view(agent("a", 1)), replaying=True))
    assert message["at"] == "2025-01-14T14:50:30.000000Z"


@pytest.mark.parametrize(
    "other",
    [view(agent("x", 1), epoch="f"), view(agent("a", 2), seq=2)],
    ids=["another database", "a database set back"],
)
def test_another_past_is_a_keyframe_at_once(other):
    """Numbers of another epoch, or lower ones, cannot be told by updates."""
    feed = fed(shown=view(agent("a", 9)))
    feed.note(["a", "x"])
    message = feed.take(1.0, other)
    assert message["kind"] == "keyframe"
    assert [one["agent_id"] for one in message["state"]["agents"]] == list(other.agents)


def test_the_first_state_of_a_server_is_a_keyframe():
    """A grid that found no server at first shows everything as soon as one is there."""
    feed = UpdateScheduler(10.0, 0.0)
    nobody = View({}, None, ConnectionState("connecting", None, "tried"), AT)
    first = feed.take(0.0, nobody)
    assert first["state"]["connection"]["detail"] == "tried"
    assert (first["state"]["epoch"], first["state"]["seq"]) == (None, 0)
    feed.note(["a"])
    assert feed.take(1.0, view(agent("a", 1)))["kind"] == "keyframe"


def test_a_change_of_the_connection_is_told_at_once():
    """Also when no agent changes."""
    feed = fed()
    feed.note_connection()
    lost = View({}, Cursor("e", 0), ConnectionState("reconnecting", AT, "lost"), AT)
    message = feed.take(1.0, lost)
    assert message["messages"] == []
    assert message["connection"] == {
        "state": "reconnecting",
        "staleSince": "2025-01-14T14:50:30.000000Z",
        "detail": "lost",
    }


def changing(
    feed: UpdateScheduler, start: float, until: float, busy: bool = False
) -> list[tuple[float, str]]:
    """Let one agent change all the time and return (time, kind) of what is sent."""
    sent = []
    for step in range(1, round((until - start) * 2) + 1):
        now = start + step * 0.5
        feed.note(["a"])
        feed.look(now, busy)
        message = feed.take(now, view(agent("a", round(now * 2))))
        if message is not None:
            sent.append((now, message["kind"]))
    return sent


def test_a_page_that_pings_is_fed_for_ever():
    """A ping every 10 s keeps the full rate."""
    feed = fed()
    for start in range(0, 200, 10):
        feed.ping(float(start))
        assert len(changing(feed, start, start + 10)) == 20
    assert not feed.away


def test_a_closed_page_gets_rare_keyframes_and_then_nothing():
    """After 60 s without a ping: one keyframe each 30 s; after ten minutes: silence."""
    feed = fed()
    assert len(changing(feed, 0, 59)) > 100
    later = changing(feed, 60, 590)
    assert {kind for _, kind in later} == {"keyframe"}
    assert 16 <= len(later) <= 18
    changing(feed, 590, 601)
    assert changing(feed, 601, 2000) == []
    assert feed.due_at() == inf


def test_a_closed_page_without_changes_gets_nothing():
    """Not even a heartbeat: each would stay in the memory of Jupyter Server."""
    feed = fed()
    drive(feed, 60.0, view())
    assert drive(feed, 200.0, view(), start=60.0) == []


def test_the_page_that_comes_back_gets_everything_at_once():
    """A ping after an absence is answered by a keyframe, changed or not."""
    feed = fed()
    drive(feed, 700.0, view())
    assert feed.away
    feed.ping(700.0)
    assert feed.take(700.0, view())["kind"] == "keyframe"
    assert not feed.away


def test_time_behind_a_running_cell_does_not_count_as_absence():
    """A ping may wait for the end of the cell; an hour of it changes nothing."""
    feed = fed()
    assert len(changing(feed, 0, 3600, busy=True)) == 7200
    assert not feed.away
    changing(feed, 3600, 3659)
    assert not feed.away
    changing(feed, 3659, 3661)
    assert feed.away


def test_after_a_failure_the_next_try_is_later_and_whole():
    """A page that cannot be reached is not asked ten times a second."""
    feed = fed()
    feed.note(["a"])
    feed.take(1.0, view(agent("a", 1)))
    feed.fail(1.0)
    feed.note(["a"])
    assert feed.due_at() > 6.0
    assert feed.take(6.2, view(agent("a", 2)))["kind"] == "keyframe"


class Page:
    """A double of a widget: keeps what it gets, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.got: list[dict] = []
        self.failures: list[Exception | None] = []
        self.error = error

    def deliver(self, message: dict) -> None:
        if self.error is not None:
            raise self.error
        self.got.append(message)


def outlet_of(page: Page, feeder: SyncThread, shown: View) -> WidgetSink:
    outlet = WidgetSink(
        UpdateScheduler(50.0, 0.0), lambda: shown, page.deliver, page.failures.append
    )
    feeder.add(outlet)
    return outlet


def test_one_broken_widget_does_not_stop_the_others(caplog):
    """Its error is handed back and logged once; the thread goes on, and ends with the last."""
    seconds = iter(range(10, 10_000_000, 10))
    feeder = SyncThread(lambda: True, clock=lambda: float(next(seconds)))
    broken, whole = Page(LookupError("shell_parent")), Page()
    outlets = [outlet_of(page, feeder, view(agent("a", 1))) for page in (broken, whole)]
    wait_until(lambda: len(whole.got) >= 3, "three messages for the page that works")
    wait_until(lambda: len(broken.failures) >= 2, "two failures")
    assert [str(error) for error in broken.failures[:2]] == ["shell_parent"] * 2
    broken.error = None
    wait_until(lambda: broken.failures[-1] is None, "its recovery")
    assert broken.got[0]["kind"] == "keyframe"
    for outlet in outlets:
        feeder.remove(outlet)
    wait_until(lambda: feeder._thread is None, "the end of the thread")
    assert caplog.text.count("a widget could not be fed: LookupError: shell_parent") == 1
