"""Fan-out: batching, ordering, filters, slow clients and resuming."""

from __future__ import annotations

import pytest

from htmlgraph_nb.core.protocol import MATCH_ALL, CloseCode, Cursor, Filter
from htmlgraph_nb.errors import CapacityError, JoinRefused
from htmlgraph_server.connections.frames import encode_frame
from htmlgraph_server.hub import published_state
from tests.helpers.hub_harness import EPOCH, FakeDashboard, HubHarness

TICK = 0.02
A_ONLY = Filter(agents=frozenset({"a"}))


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_encode_frame_header_depends_on_length(size: int) -> None:
    """FIN and text, no mask, and 7, 16 or 64 bits of length (RFC 6455 section 5.2)."""
    data = encode_frame("x" * size)
    head = data[: len(data) - size]
    assert head[0] == 0x81
    if size < 126:
        assert head[1:] == bytes([size])
    elif size < 65_536:
        assert head[1:] == b"\x7e" + size.to_bytes(2, "big")
    else:
        assert head[1:] == b"\x7f" + size.to_bytes(8, "big")


def test_join_sends_full_state_in_parts() -> None:
    """Each part has at most 500 agents, and all parts go out in one write."""
    harness = HubHarness(start=[f"agent-{n}" for n in range(1_001)])
    dashboard, _ = harness.join()
    states = dashboard.messages
    assert [(m["part"], m["parts"], len(m["agents"])) for m in states] == [
        (1, 3, 500),
        (2, 3, 500),
        (3, 3, 1),
    ]
    assert all(m["full"] and m["epoch"] == EPOCH and m["seq"] == 1_001 for m in states)
    assert len(dashboard.writes) == 1
    assert dashboard.mirror.agents == harness.presences


def test_publish_sends_immediately_when_idle() -> None:
    """A change is sent without a timer if nothing was sent for a tick."""
    harness = HubHarness(tick_s=TICK)
    dashboard, _ = harness.join()
    harness.report("a")
    assert dashboard.types() == ["presence_state", "presence_update"]
    harness.loop.advance(TICK)
    harness.report("a")
    assert dashboard.types()[2:] == ["presence_update"]
    assert dashboard.mirror.agents == harness.presences


def test_publish_batches_frames_within_a_tick() -> None:
    """Changes within a tick are queued, joined once and written in order."""
    harness = HubHarness(tick_s=TICK)
    dashboard, _ = harness.join()
    harness.report("a")
    n_writes = len(dashboard.writes)
    for name in ("b", "a", "c", "b"):
        harness.loop.advance(TICK / 10)
        harness.report(name)
    assert len(dashboard.writes) == n_writes
    harness.loop.advance(TICK)
    assert len(dashboard.writes) == n_writes + 1
    assert [m["agent_id"] for m in dashboard.messages[-4:]] == ["b", "a", "c", "b"]
    assert [m["seq"] for m in dashboard.messages[-4:]] == [2, 3, 4, 5]
    assert dashboard.mirror.agents == harness.presences


def test_flush_by_late_timer_sends_nothing_twice() -> None:
    """A change after the end of the tick flushes by itself; the late timer sends nothing."""
    harness = HubHarness(tick_s=TICK)
    dashboard, _ = harness.join()
    harness.report("a")
    harness.report("b")
    harness.loop.now += 3 * TICK
    harness.report("c")
    assert [m["seq"] for m in dashboard.messages[1:]] == [1, 2, 3]
    n_writes = len(dashboard.writes)
    harness.loop.advance(1)
    assert len(dashboard.writes) == n_writes
    assert harness.loop.n_calls == 0


def test_flush_shares_bytes_between_equal_filters() -> None:
    """The frames of a filter are joined once, even if each client has its own Filter object."""
    harness = HubHarness(start=["a", "b"], tick_s=TICK)
    filtered = []
    for _ in range(3):
        dashboard, client = harness.join()
        harness.hub.subscribe(client, Filter(agents=frozenset(["a"])))
        filtered.append(dashboard)
    unfiltered = [harness.join()[0] for _ in range(2)]
    harness.report("a", "b")
    harness.report("b", "a")
    harness.loop.advance(TICK)
    for group in (filtered, unfiltered):
        assert len({id(dashboard.writes[-1]) for dashboard in group}) == 1
    assert {m["agent_id"] for m in filtered[0].messages[-2:]} == {"a"}
    assert filtered[0].mirror.agents == harness.expected(A_ONLY)
    assert unfiltered[0].mirror.agents == harness.presences


def test_join_shares_state_bytes_until_a_change() -> None:
    """A thousand slow filtered do not hold a thousand copies of the roster."""
    harness = HubHarness(start=[f"agent-{n}" for n in range(50)])
    first, second = harness.join()[0], harness.join()[0]
    assert first.writes[0] is second.writes[0]
    harness.report("agent-1")
    third, _ = harness.join()
    assert third.writes[0] is not first.writes[0]
    assert third.mirror.agents == harness.presences


@pytest.mark.parametrize("n_calls", range(4))
@pytest.mark.parametrize("in_part", [False, True])
def test_reset_client_does_not_affect_the_others(n_calls: int, in_part: bool) -> None:
    """The clients before and after the one that is reset while a tick goes out get all of it."""
    harness = HubHarness(tick_s=TICK)
    others = [harness.join()[0]]
    reset, _ = harness.join(session="s")
    others.append(harness.join()[0])
    reset.calls_until_reset, reset.in_part = n_calls, in_part
    for _ in range(5):
        harness.report("a", "b", "c")
        harness.loop.advance(TICK)
    assert reset.aborted
    for other in others:
        assert len(other.messages) == 1 + 15
        assert other.mirror.agents == harness.presences
    assert (len(harness.hub.clients), harness.hub.sessions) == (2, {})


@pytest.mark.parametrize("reading", [False, True])
def test_join_of_a_reset_client_keeps_no_slot(reading: bool) -> None:
    """A dashboard that leaves before its first state does not count for the limits."""
    harness = HubHarness(start=["a"], max_clients=2, max_clients_per_session=1)
    for _ in range(5):
        dashboard = FakeDashboard(reading)
        dashboard.calls_until_reset = 0
        harness.join(dashboard, session="s")
        assert (harness.hub.clients, harness.hub.sessions) == ({}, {})
    dashboard, _ = harness.join(session="s")
    assert dashboard.mirror.agents == harness.presences


def test_filter_values_of_all_dashboards_are_limited() -> None:
    """Equal filters count once, and a filter counts until its last dashboard has left."""
    harness = HubHarness(start=["a"], max_filter_values=3)
    (_, first), (_, second) = harness.join(), harness.join()
    groups = harness.hub.groups
    three = Filter(agents=frozenset("abc"))
    for client in (first, second):
        groups.check_room(three)
        harness.hub.subscribe(client, three)
    with pytest.raises(CapacityError, match="--max-filter-values"):
        groups.check_room(A_ONLY)
    harness.hub.leave(first)
    with pytest.raises(CapacityError, match="3 values"):
        groups.check_room(A_ONLY)
    harness.hub.subscribe(second, MATCH_ALL)
    groups.check_room(A_ONLY)


def test_filters_of_other_agents_are_not_examined() -> None:
    """A change concerns the filters of its agent, session and feature before and after it."""
    harness = HubHarness(tick_s=0)
    named = {}
    for filter_ in (
        A_ONLY,
        Filter(agents=frozenset("b")),
        Filter(sessions=frozenset({"old"})),
        Filter(sessions=frozenset({"new"}), statuses=frozenset({"active"})),
        Filter(features=frozenset({"f"})),
        Filter(statuses=frozenset({"active"})),
    ):
        dashboard, client = harness.join()
        harness.hub.subscribe(client, filter_)
        named[filter_] = dashboard
    harness.report("a", session_id="old")
    before = harness.presences["a"]
    harness.report("a", session_id="new", feature_id="f")
    concerned = harness.hub.groups.concerned(before, harness.presences["a"])
    assert {group.filter for group in concerned} == {*named, MATCH_ALL} - {
        Filter(agents=frozenset("b"))
    }
    for filter_, dashboard in named.items():
        assert dashboard.mirror.agents == harness.expected(filter_)


def test_slow_client_is_skipped_until_drained() -> None:
    """It then gets the changes since its cursor; its memory stays below limit plus one state."""
    harness = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=4_000, stall_timeout_s=1e9)
    slow, client = harness.join()
    other, _ = harness.join()
    slow.reading = False
    for n in range(2_000):
        harness.report(f"agent-{n % 30}")
        harness.loop.advance(TICK)
    assert harness.hub.n_slow == 1
    assert client.slow_since is not None
    assert slow.peak <= 4_000
    assert harness.hub.queue_bytes() == slow.pending()
    assert other.mirror.agents == harness.presences
    n_read = len(slow.messages)
    slow.read(len(slow.unsent) - 1)
    harness.loop.advance(1)
    assert harness.hub.n_slow == 1, "one byte is still unsent"
    slow.reading = True
    slow.read()
    harness.loop.advance(1)
    assert harness.hub.n_slow == 0
    state = slow.messages[-1]
    assert (state["type"], state["full"]) == ("presence_state", False)
    assert {agent["agent_id"] for agent in state["agents"]} == harness.presences.keys() - {"a"}
    assert slow.mirror.agents == harness.presences
    assert len(slow.messages) < n_read + 100
    harness.report("a")
    assert slow.mirror.agents == harness.presences
    assert harness.hub.stats.n_slow_total == 1


def test_subscribe_without_reading_is_bounded() -> None:
    """After it has read, it gets one more state, for its latest filter."""
    harness = HubHarness(
        start=[f"agent-{n}" for n in range(30)], tick_s=TICK, max_queue_bytes=4_000
    )
    slow, client = harness.join(FakeDashboard(reading=False))
    one_state = slow.peak
    for _ in range(100):
        harness.hub.subscribe(client, MATCH_ALL)
        harness.hub.subscribe(client, A_ONLY)
    assert slow.peak <= 4_000 + one_state
    assert harness.hub.n_slow == 1
    slow.reading = True
    slow.read()
    harness.loop.advance(1)
    assert harness.hub.n_slow == 0
    assert slow.mirror.agents == harness.expected(A_ONLY)
    harness.report("a")
    assert set(slow.mirror.agents) == {"a"}


def test_drained_client_gets_state_after_queued_frames() -> None:
    """Its state would otherwise be newer than frames that it receives later."""
    harness = HubHarness(start=["a"], tick_s=1.0, drain_check_s=0.25, max_queue_bytes=600)
    slow, _ = harness.join()
    slow.reading = False
    for _ in range(8):
        harness.loop.advance(1.5)
        harness.report("a", "b")
    assert harness.hub.n_slow == 1
    harness.report("c")
    slow.reading = True
    slow.read()
    harness.loop.advance(0.3)
    assert "c" not in slow.mirror.agents
    harness.loop.advance(1.0)
    assert slow.mirror.agents == harness.presences
    seqs = [m["seq"] for m in slow.messages]
    assert seqs == sorted(seqs)


def test_stalled_client_is_dropped() -> None:
    """It is dropped after stall_timeout_s over the limit, not before; others are not affected."""
    harness = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=500, stall_timeout_s=30.0)
    stalled, client = harness.join(session="s")
    other, _ = harness.join()
    stalled.reading = False
    while not harness.hub.n_slow:
        harness.report("a")
        harness.loop.advance(TICK)
    harness.loop.advance(29.5)
    assert not stalled.aborted
    harness.loop.advance(1.5)
    assert stalled.aborted
    assert list(harness.hub.clients) != [client]
    assert (len(harness.hub.clients), harness.hub.sessions, harness.hub.n_slow) == (1, {}, 0)
    assert harness.loop.n_calls == 0, "without slow clients no check is scheduled"
    harness.report("a")
    assert other.mirror.agents == harness.presences


def test_slow_client_that_reads_is_kept() -> None:
    """It converges even if it is over the limit for much longer than stall_timeout_s."""
    harness = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=500, stall_timeout_s=5.0)
    slow, _ = harness.join()
    slow.reading = False
    while not harness.hub.n_slow:
        harness.report("a")
        harness.loop.advance(TICK)
    while len(slow.unsent) > 20:
        slow.read(20)
        harness.loop.advance(4.0)
    assert not slow.aborted
    slow.reading = True
    slow.read()
    harness.loop.advance(1.0)
    assert slow.mirror.agents == harness.presences


def test_join_refuses_over_client_limits() -> None:
    """Limits apply to all clients and per session; leave frees a slot and is idempotent."""
    harness = HubHarness(max_clients=3, max_clients_per_session=2)
    _, first = harness.join(session="s")
    harness.join(session="s")
    with pytest.raises(JoinRefused, match=r"session client limit \(2\) reached") as refused:
        harness.join(session="s")
    assert refused.value.code == CloseCode.POLICY
    harness.join()
    with pytest.raises(JoinRefused, match=r"client limit \(3\) reached"):
        harness.join()
    harness.hub.leave(first)
    harness.hub.leave(first)
    assert harness.hub.sessions == {"s": 1}
    harness.join(session="s")
    assert len(harness.hub.clients) == 3


def test_join_during_tick_sends_each_change_once() -> None:
    """The state includes the queued changes and is sent after them."""
    harness = HubHarness(start=["a"], tick_s=TICK)
    harness.report("a")
    harness.report("b")
    late, _ = harness.join()
    assert late.writes == []
    harness.loop.advance(TICK)
    assert late.types() == ["presence_state"]
    assert late.mirror.agents == harness.presences


@pytest.mark.parametrize("state", ["up to date", "awaiting state", "slow", "filtered"])
def test_leave_works_in_any_state(state: str) -> None:
    """Nothing is written to the client afterwards and nothing of it remains."""
    harness = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=500, stall_timeout_s=5)
    harness.report("a")
    if state == "awaiting state":
        harness.report("a")
    dashboard, client = harness.join(session="s")
    if state == "filtered":
        harness.hub.subscribe(client, A_ONLY)
    if state == "slow":
        dashboard.reading = False
        while not harness.hub.n_slow:
            harness.report("a")
            harness.loop.advance(TICK)
    n_writes = len(dashboard.writes)
    harness.hub.leave(client)
    harness.report("a")
    harness.loop.advance(100)
    assert len(dashboard.writes) == n_writes
    assert (harness.hub.clients, harness.hub.sessions, harness.hub.n_slow) == ({}, {}, 0)
    assert not dashboard.aborted
    harness.hub.subscribe(client, A_ONLY)
    assert len(dashboard.writes) == n_writes


def test_leave_during_write_does_not_affect_others() -> None:
    """A client leaves during the write; all others get the tick."""
    harness = HubHarness(start=["a"])
    connections = [harness.join() for _ in range(3)]
    broken, client = connections[1]
    broken.on_write = lambda: harness.hub.leave(client)
    harness.report("a")
    harness.loop.advance(1)
    harness.report("a")
    for dashboard, _ in (connections[0], connections[2]):
        assert dashboard.mirror.agents == harness.presences
    assert len(broken.writes) == 2
    assert len(harness.hub.clients) == 2


def test_subscribe_sends_full_state_of_new_filter() -> None:
    """Agents outside of the filter disappear, and agents that leave it are removed."""
    harness = HubHarness(start=["a", "b", "c"], tick_s=TICK)
    dashboard, client = harness.join()
    harness.hub.subscribe(client, A_ONLY)
    assert dashboard.mirror.agents.keys() == {"a"}
    harness.report("b", "a")
    assert dashboard.mirror.agents == harness.expected(A_ONLY)
    active = Filter(statuses=frozenset({"active"}))
    harness.hub.subscribe(client, active)
    assert dashboard.mirror.agents.keys() == {"a", "b", "c"}
    harness.loop.advance(1)
    harness.report("a", event_type="session_end")
    assert dashboard.messages[-1]["type"] == "presence_removed"
    assert dashboard.mirror.agents == harness.expected(active)
    harness.loop.advance(1)
    harness.report("a", event_type="prompt")
    assert dashboard.mirror.agents.keys() == {"a", "b", "c"}
    harness.hub.subscribe(client, MATCH_ALL)
    assert dashboard.mirror.agents == harness.presences


def test_event_type_filter_hides_other_messages() -> None:
    """A filter for feature changes hides presence updates."""
    harness = HubHarness(start=["a"])
    dashboard, client = harness.join()
    harness.hub.subscribe(client, Filter(event_types=frozenset({"feature_updated"})))
    n_read = len(dashboard.messages)
    harness.report("a")
    harness.loop.advance(1)
    harness.report("a", event_type="feature_updated", extra={"resource_id": "f1", "payload": {}})
    assert [m["type"] for m in dashboard.messages[n_read:]] == ["broadcast_event"]
    assert dashboard.messages[-1]["resource_id"] == "f1"


def test_agent_filter_applies_to_feature_changes() -> None:
    """A feature change by an agent outside of the filter is not sent."""
    harness = HubHarness(start=["a", "b"])
    dashboard, client = harness.join()
    harness.hub.subscribe(client, A_ONLY)
    for agent_id in ("a", "b"):
        harness.loop.advance(1)
        extra = {"resource_id": f"f-{agent_id}", "payload": {}}
        harness.report(agent_id, event_type="feature_updated", extra=extra)
    resource_ids = [m["resource_id"] for m in dashboard.messages if m["type"] == "broadcast_event"]
    assert resource_ids == ["f-a"]


def test_forgotten_agent_sends_presence_removed() -> None:
    """A resuming client gets the removal too."""
    harness = HubHarness(start=["a", "b"])
    dashboard, _ = harness.join()
    cursor = dashboard.mirror.cursor
    harness.report("a", event_type="forget")
    assert dashboard.messages[-1] == {
        "type": "presence_removed",
        "agent_id": "a",
        "timestamp": dashboard.messages[-1]["timestamp"],
        "seq": 3,
    }
    assert dashboard.mirror.agents == harness.presences
    resumed, _ = harness.join(cursor=cursor)
    assert resumed.messages[0]["removed"] == ["a"]
    assert not resumed.messages[0]["full"]


def test_resume_sends_only_changed_agents() -> None:
    """The cursor is of this epoch, at or behind the server's."""
    harness = HubHarness(start=["a", "b", "c"])
    harness.report("b")
    for seq, names in ((4, []), (3, ["b"]), (2, ["c", "b"])):
        dashboard, _ = harness.join(cursor=Cursor(EPOCH, seq))
        (state,) = dashboard.messages
        assert not state["full"]
        assert [agent["agent_id"] for agent in state["agents"]] in (names, names[::-1])


@pytest.mark.parametrize("cursor", [None, Cursor("another", 4), Cursor(EPOCH, 5)])
def test_unusable_cursor_gets_full_state(cursor: Cursor | None) -> None:
    """No cursor, another database's cursor, or a cursor ahead of the store."""
    harness = HubHarness(start=["a", "b", "c"])
    harness.report("b")
    dashboard, _ = harness.join(cursor=cursor)
    assert dashboard.messages[0]["full"]
    assert dashboard.mirror.agents == harness.presences


def test_cursor_older_than_tombstones_gets_full_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a limited number of tombstones is kept, and none from before the start."""
    monkeypatch.setattr(published_state, "MAX_TOMBSTONES", 2)
    harness = HubHarness(start=["a", "b", "c", "d"])
    for name in ("a", "b", "c"):
        harness.report(name, event_type="forget")
    harness.loop.advance(1)
    assert harness.join(cursor=Cursor(EPOCH, 4))[0].messages[0]["full"]
    delta = harness.join(cursor=Cursor(EPOCH, 5))[0].messages[0]
    assert (delta["full"], delta["removed"]) == (False, ["b", "c"])
    harness.hub = harness.new_hub(forgotten_seq=7)
    assert harness.join(cursor=Cursor(EPOCH, 6))[0].messages[0]["full"]
    assert not harness.join(cursor=Cursor(EPOCH, 7))[0].messages[0]["full"]


def test_legacy_state_is_sent_as_updates() -> None:
    """Both the initial state and the state after a backlog; updates and removals ordered by seq."""
    harness = HubHarness(start=["a", "b"], tick_s=TICK, max_queue_bytes=600, stall_timeout_s=1e9)
    harness.report("a")
    harness.loop.advance(1)
    dashboard, _ = harness.join(legacy_state=True)
    assert [(m["type"], m["seq"]) for m in dashboard.messages] == [
        ("presence_update", 2),
        ("presence_update", 3),
    ]
    dashboard.reading = False
    while not harness.hub.n_slow:
        harness.report("a")
        harness.loop.advance(TICK)
    harness.report("b", event_type="forget")
    dashboard.reading = True
    dashboard.read()
    harness.loop.advance(1)
    assert "presence_state" not in dashboard.types()
    assert dashboard.mirror.agents == harness.presences
    assert dashboard.mirror.agents.keys() == {"a"}


def test_close_flushes_and_closes_all_clients() -> None:
    """Every dashboard gets code 1001, even a slow one; later joins are refused."""
    harness = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=300)
    dashboard, _ = harness.join(session="s")
    slow = FakeDashboard(reading=False)
    harness.join(slow)
    harness.report("a")
    harness.report("b")
    harness.hub.close()
    assert dashboard.mirror.agents == harness.presences
    assert dashboard.closed == slow.closed == (CloseCode.GOING_AWAY, "server shutting down")
    assert (harness.hub.clients, harness.hub.sessions) == ({}, {})
    with pytest.raises(JoinRefused) as refused:
        harness.join()
    assert refused.value.code == CloseCode.GOING_AWAY
    harness.loop.advance(100)


def test_long_flush_extends_the_tick() -> None:
    """The tick lasts at least twice the flush, so that sending does not starve ingestion."""
    harness = HubHarness(start=["a"], tick_s=TICK)
    dashboard, _ = harness.join()

    def block_loop() -> None:
        harness.loop.now += 5 * TICK

    dashboard.on_write = block_loop
    harness.report("a")
    dashboard.on_write = None
    n_writes = len(dashboard.writes)
    harness.report("a")
    harness.loop.advance(4.9 * TICK)
    assert len(dashboard.writes) == n_writes
    harness.loop.advance(0.2 * TICK)
    assert len(dashboard.writes) == n_writes + 1
