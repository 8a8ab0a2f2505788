"""UpdateScheduler and SyncThread: which message is sent when, on a clock that the test sets."""

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
    seq = max((presence.seq for presence in agents), default=0) if seq is None else seq
    return View(
        {presence.agent_id: presence for presence in agents}, Cursor(epoch, seq), CONNECTED, AT
    )


def started(now: float = 0.0, max_rate: float = 10.0, shown: View | None = None) -> UpdateScheduler:
    """Return a scheduler whose first snapshot was sent at ``now``."""
    scheduler = UpdateScheduler(max_rate, now)
    assert scheduler.next_message(now, shown or view())["kind"] == "snapshot"
    return scheduler


def drive(
    scheduler: UpdateScheduler, until: float, shown: View, busy: bool = False, start: float = 0.0
):
    """Advance the time in steps of 50 ms and return the messages as (time, message)."""
    sent = []
    for step in range(1, round((until - start) / 0.05) + 1):
        now = start + step * 0.05
        scheduler.on_time_passed(now, busy)
        message = scheduler.next_message(now, shown)
        if message is not None:
            sent.append((now, message))
    return sent


def test_scheduler_first_message_is_a_full_snapshot():
    """It is due at once and contains cursor, agents, connection and time."""
    scheduler = UpdateScheduler(10.0, 100.0)
    assert scheduler.due_at() <= 100.0
    message = scheduler.next_message(100.0, view(agent("a", 3), seq=5))
    assert message == {
        "kind": "snapshot",
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


def test_scheduler_batch_contains_latest_state_of_changed_agents():
    """Several changes of one agent are one message; a removed agent is a removal."""
    scheduler = started()
    for _ in range(3):
        scheduler.on_change({"a", "removed"})
    message = scheduler.next_message(1.0, view(agent("a", 7), agent("b", 2), seq=9))
    assert message["kind"] == "batch"
    assert message["n"] == 2
    assert message["connection"]["state"] == "connected"
    by_agent = {item["agent_id"]: item for item in message["messages"]}
    assert by_agent.keys() == {"a", "removed"}
    assert (by_agent["a"]["type"], by_agent["a"]["seq"]) == ("presence_update", 7)
    assert by_agent["a"]["presence"]["agent_id"] == "a"
    assert (by_agent["removed"]["type"], by_agent["removed"]["seq"]) == ("presence_removed", 9)


def test_scheduler_batches_applied_to_a_mirror_give_the_same_agents():
    """A batch contains wire messages; a mirror that applies them has the same agents."""
    mirror = Mirror()
    scheduler = started()
    scheduler.on_change(["b", "a"])
    for message in scheduler.next_message(1.0, view(agent("b", 2), agent("a", 1)))["messages"]:
        mirror.apply(message)
    scheduler.on_change(["a", "b"])
    after = view(agent("a", 3), seq=4)
    for message in scheduler.next_message(2.0, after)["messages"]:
        mirror.apply(message)
    assert mirror.agents == dict(after.agents)


def test_scheduler_never_exceeds_max_rate():
    """With continuous changes, a rate of 10 gives ten messages per second."""
    scheduler = started()
    sent = []
    for step in range(1, 201):
        now = step * 0.01
        scheduler.on_change(["a"])
        message = scheduler.next_message(now, view(agent("a", step)))
        if message is not None:
            sent.append(now)
    assert 18 <= len(sent) <= 20
    assert min(b - a for a, b in pairwise(sent)) > 0.099


def test_scheduler_sends_first_change_at_once():
    """The rate limits the frequency and does not delay the first change."""
    scheduler = started()
    scheduler.on_change(["a"])
    assert scheduler.due_at() <= 1.0
    assert scheduler.next_message(1.0, view(agent("a", 1)))["messages"][0]["agent_id"] == "a"


def test_scheduler_delays_after_a_large_batch():
    """After 900 changes the next batch waits 0.3 s, so that the browser can lay them out."""
    scheduler = started()
    scheduler.on_change(f"a{i}" for i in range(900))
    scheduler.next_message(1.0, view())
    scheduler.on_change(["a1"])
    assert scheduler.due_at() == pytest.approx(1.3)


def test_scheduler_sends_heartbeats_without_changes():
    """Without changes an empty batch is sent every 5 s, and no snapshot."""
    sent = drive(started(), 21.0, view())
    assert [message["kind"] for _, message in sent] == ["batch"] * 4
    assert all(message["messages"] == [] for _, message in sent)
    assert [now for now, _ in sent] == pytest.approx([5, 10, 15, 20], abs=0.1)


def test_scheduler_sends_one_snapshot_within_five_seconds_of_a_change():
    """It repairs a lost batch; without a further change there is no second one."""
    scheduler = started()
    scheduler.on_change(["a"])
    sent = drive(scheduler, 14.0, view(agent("a", 1)))
    kinds = [(round(now), message["kind"]) for now, message in sent]
    assert kinds == [(0, "batch"), (5, "snapshot"), (10, "batch")]


def test_scheduler_snapshot_interval_grows_with_the_agents():
    """With 4,000 agents a snapshot every 20 s: each costs more than all batches."""
    many = view(*(agent(f"a{number}", number + 1) for number in range(4000)))
    scheduler = started(shown=many)
    kinds = []
    for second in range(2, 42):
        scheduler.on_change(["a1"])
        message = scheduler.next_message(float(second), many)
        kinds += [second] if message and message["kind"] == "snapshot" else []
    assert kinds == [20, 40]


def test_scheduler_request_snapshot_includes_activity():
    """A requested snapshot contains the activity counts."""
    scheduler = started()
    scheduler.request_snapshot()
    shown = replace(view(agent("a", 1)), activity=lambda: {"minutes": 15})
    message = scheduler.next_message(1.0, shown)
    assert message["kind"] == "snapshot"
    assert message["state"]["activity"] == {"minutes": 15}


def test_scheduler_batch_of_a_replay_contains_its_time():
    """The page's own clock differs from the replay's."""
    scheduler = started()
    scheduler.on_change(["a"])
    message = scheduler.next_message(1.0, replace(view(agent("a", 1)), replaying=True))
    assert message["at"] == "2025-01-14T14:50:30.000000Z"


@pytest.mark.parametrize(
    "other",
    [view(agent("x", 1), epoch="f"), view(agent("a", 2), seq=2)],
    ids=["another database", "a database set back"],
)
def test_scheduler_sends_snapshot_after_a_reset(other):
    """A new epoch or a lower seq cannot be expressed as updates."""
    scheduler = started(shown=view(agent("a", 9)))
    scheduler.on_change(["a", "x"])
    message = scheduler.next_message(1.0, other)
    assert message["kind"] == "snapshot"
    assert [item["agent_id"] for item in message["state"]["agents"]] == list(other.agents)


def test_scheduler_sends_snapshot_for_the_first_state_of_a_server():
    """A grid that started without a server shows everything when one is found."""
    scheduler = UpdateScheduler(10.0, 0.0)
    empty = View({}, None, ConnectionState("connecting", None, "tried"), AT)
    first = scheduler.next_message(0.0, empty)
    assert first["state"]["connection"]["detail"] == "tried"
    assert (first["state"]["epoch"], first["state"]["seq"]) == (None, 0)
    scheduler.on_change(["a"])
    assert scheduler.next_message(1.0, view(agent("a", 1)))["kind"] == "snapshot"


def test_scheduler_sends_connection_changes_at_once():
    """Also if no agent changes."""
    scheduler = started()
    scheduler.on_connection()
    lost = View({}, Cursor("e", 0), ConnectionState("reconnecting", AT, "lost"), AT)
    message = scheduler.next_message(1.0, lost)
    assert message["messages"] == []
    assert message["connection"] == {
        "state": "reconnecting",
        "staleSince": "2025-01-14T14:50:30.000000Z",
        "detail": "lost",
    }


def changing(
    scheduler: UpdateScheduler, start: float, until: float, busy: bool = False
) -> list[tuple[float, str]]:
    """Change one agent every 0.5 s and return the messages as (time, kind)."""
    sent = []
    for step in range(1, round((until - start) * 2) + 1):
        now = start + step * 0.5
        scheduler.on_change(["a"])
        scheduler.on_time_passed(now, busy)
        message = scheduler.next_message(now, view(agent("a", round(now * 2))))
        if message is not None:
            sent.append((now, message["kind"]))
    return sent


def test_scheduler_keeps_full_rate_while_pinged():
    """A ping every 10 s keeps the full rate."""
    scheduler = started()
    for start in range(0, 200, 10):
        scheduler.on_ping(float(start))
        assert len(changing(scheduler, start, start + 10)) == 20
    assert not scheduler.away


def test_scheduler_slows_down_and_stops_without_pings():
    """After 60 s without a ping, one snapshot every 30 s; after ten minutes, nothing."""
    scheduler = started()
    assert len(changing(scheduler, 0, 59)) > 100
    later = changing(scheduler, 60, 590)
    assert {kind for _, kind in later} == {"snapshot"}
    assert 16 <= len(later) <= 18
    changing(scheduler, 590, 601)
    assert changing(scheduler, 601, 2000) == []
    assert scheduler.due_at() == inf


def test_scheduler_sends_no_heartbeat_to_a_closed_page():
    """Each would stay in the memory of Jupyter Server."""
    scheduler = started()
    drive(scheduler, 60.0, view())
    assert drive(scheduler, 200.0, view(), start=60.0) == []


def test_scheduler_sends_snapshot_on_ping_after_absence():
    """Whether or not anything changed."""
    scheduler = started()
    drive(scheduler, 700.0, view())
    assert scheduler.away
    scheduler.on_ping(700.0)
    assert scheduler.next_message(700.0, view())["kind"] == "snapshot"
    assert not scheduler.away


def test_scheduler_ignores_time_in_which_a_cell_runs():
    """A ping may wait for the end of the cell; an hour of it changes nothing."""
    scheduler = started()
    assert len(changing(scheduler, 0, 3600, busy=True)) == 7200
    assert not scheduler.away
    changing(scheduler, 3600, 3659)
    assert not scheduler.away
    changing(scheduler, 3659, 3661)
    assert scheduler.away


def test_scheduler_retries_later_with_a_snapshot_after_an_error():
    """An unreachable page is not retried ten times a second."""
    scheduler = started()
    scheduler.on_change(["a"])
    scheduler.next_message(1.0, view(agent("a", 1)))
    scheduler.on_error(1.0)
    scheduler.on_change(["a"])
    assert scheduler.due_at() > 6.0
    assert scheduler.next_message(6.2, view(agent("a", 2)))["kind"] == "snapshot"


class PageSink(WidgetSink):
    """A widget that keeps its messages, or raises."""

    def __init__(self, shown: View, error: Exception | None = None) -> None:
        super().__init__(UpdateScheduler(50.0, 0.0))
        self.shown: View | None = shown
        self.delivered: list[dict] = []
        self.errors: list[Exception | None] = []
        self.raises = error

    def view(self) -> View | None:
        return self.shown

    def deliver(self, message: dict) -> None:
        if self.raises is not None:
            raise self.raises
        self.delivered.append(message)

    def show_error(self, error: Exception | None) -> None:
        self.errors.append(error)


def fast_thread() -> SyncThread:
    """Return a thread whose clock advances by 10 s at each reading."""
    seconds = iter(range(10, 10_000_000, 10))
    return SyncThread(lambda: True, clock=lambda: float(next(seconds)))


def test_sync_thread_continues_after_an_error_of_one_widget(caplog):
    """The error is shown and logged once; the thread ends with the last widget."""
    thread = fast_thread()
    broken = PageSink(view(agent("a", 1)), LookupError("shell_parent"))
    working = PageSink(view(agent("a", 1)))
    for sink in (broken, working):
        thread.add(sink)
    wait_until(lambda: len(working.delivered) >= 3, "three messages for the working page")
    wait_until(lambda: len(broken.errors) >= 2, "two errors")
    assert [str(error) for error in broken.errors[:2]] == ["shell_parent"] * 2
    broken.raises = None
    wait_until(lambda: broken.errors[-1] is None, "its recovery")
    assert broken.delivered[0]["kind"] == "snapshot"
    for sink in (broken, working):
        thread.remove(sink)
    wait_until(lambda: thread._thread is None, "the end of the thread")
    assert caplog.text.count("a widget could not be updated: LookupError: shell_parent") == 1


def test_sync_thread_sends_nothing_for_a_collected_widget():
    """A sink without a view is skipped; other widgets are updated."""
    thread = fast_thread()
    collected, working = PageSink(view()), PageSink(view())
    collected.shown = None
    for sink in (collected, working):
        thread.add(sink)
    wait_until(lambda: len(working.delivered) >= 2, "messages for the other page")
    assert (collected.delivered, collected.errors) == ([], [])
    for sink in (collected, working):
        thread.remove(sink)
    wait_until(lambda: thread._thread is None, "the end of the thread")


def test_scheduler_sends_a_report_of_the_server_once():
    """With the next batch or heartbeat, and in each snapshot."""
    scheduler = started()
    info = {"type": "server_info", "quotas": [], "backfill": None}
    shown = replace(view(), server_info=info)
    messages = [message for _, message in drive(scheduler, 11.0, shown)]
    assert [message.get("server_info") for message in messages] == [info, None]
    newer = replace(shown, server_info={**info, "backfill": {"state": "running"}})
    ((_, message),) = drive(scheduler, 16.0, newer, start=11.0)
    assert message["server_info"] == newer.server_info
    assert newer.to_state()["server_info"] == newer.server_info
    assert "server_info" not in view().to_state()
