"""The fan-out: what is joined, when it goes out, who is left behind and how he catches up."""

from __future__ import annotations

import pytest

from htmlgraph_nb.core.protocol import MATCH_ALL, CloseCode, Cursor, Filter
from htmlgraph_nb.errors import JoinRefused
from htmlgraph_server.hub import published_state
from htmlgraph_server.hub.hub import encode_frame
from tests.helpers.hub_harness import EPOCH, FakeDashboard, HubHarness

TICK = 0.02
A_ONLY = Filter(agents=frozenset({"a"}))


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_has_the_head_that_its_length_asks_for(size: int) -> None:
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


def test_the_first_thing_a_dashboard_gets_is_the_whole_state() -> None:
    """In parts of 500 agents, the last one completes it."""
    bench = HubHarness(start=[f"agent-{n}" for n in range(1_001)])
    dashboard, _ = bench.join()
    states = dashboard.messages
    assert [(m["part"], m["parts"], len(m["agents"])) for m in states] == [
        (1, 3, 500),
        (2, 3, 500),
        (3, 3, 1),
    ]
    assert all(m["full"] and m["epoch"] == EPOCH and m["seq"] == 1_001 for m in states)
    assert len(dashboard.writes) == 1
    assert dashboard.mirror.agents == bench.presences


def test_a_change_after_a_pause_goes_out_at_once() -> None:
    """No timer is waited for while nothing was sent for a tick."""
    bench = HubHarness(tick_s=TICK)
    dashboard, _ = bench.join()
    bench.report("a")
    assert dashboard.types() == ["presence_state", "presence_update"]
    bench.timer.advance(TICK)
    bench.report("a")
    assert dashboard.types()[2:] == ["presence_update"]
    assert dashboard.mirror.agents == bench.presences


def test_under_load_the_frames_of_a_tick_go_out_as_one_write() -> None:
    """What follows within a tick is collected, joined once and handed over in order."""
    bench = HubHarness(tick_s=TICK)
    dashboard, _ = bench.join()
    bench.report("a")
    n_writes = len(dashboard.writes)
    for name in ("b", "a", "c", "b"):
        bench.timer.advance(TICK / 10)
        bench.report(name)
    assert len(dashboard.writes) == n_writes
    bench.timer.advance(TICK)
    assert len(dashboard.writes) == n_writes + 1
    assert [m["agent_id"] for m in dashboard.messages[-4:]] == ["b", "a", "c", "b"]
    assert [m["seq"] for m in dashboard.messages[-4:]] == [2, 3, 4, 5]
    assert dashboard.mirror.agents == bench.presences


def test_a_timer_that_fires_late_sends_nothing_twice() -> None:
    """A change after the end of the tick flushes by itself, the timer then finds nothing."""
    bench = HubHarness(tick_s=TICK)
    dashboard, _ = bench.join()
    bench.report("a")
    bench.report("b")
    bench.timer.now += 3 * TICK
    bench.report("c")
    assert [m["seq"] for m in dashboard.messages[1:]] == [1, 2, 3]
    n_writes = len(dashboard.writes)
    bench.timer.advance(1)
    assert len(dashboard.writes) == n_writes
    assert bench.timer.n_calls == 0


def test_clients_with_equal_filters_get_the_very_same_bytes() -> None:
    """The frames of a filter are joined once, whoever built the filter."""
    bench = HubHarness(start=["a", "b"], tick_s=TICK)
    dashboards = []
    for _ in range(3):
        dashboard, client = bench.join()
        bench.hub.subscribe(client, Filter(agents=frozenset(["a"])))
        dashboards.append(dashboard)
    everything = [bench.join()[0] for _ in range(2)]
    bench.report("a", "b")
    bench.report("b", "a")
    bench.timer.advance(TICK)
    for group in (dashboards, everything):
        assert len({id(one.writes[-1]) for one in group}) == 1
    assert {m["agent_id"] for m in dashboards[0].messages[-2:]} == {"a"}
    assert dashboards[0].mirror.agents == bench.wanted(A_ONLY)
    assert everything[0].mirror.agents == bench.presences


def test_dashboards_that_come_together_share_one_state() -> None:
    """A thousand slow dashboards must not mean a thousand copies of the roster."""
    bench = HubHarness(start=[f"agent-{n}" for n in range(50)])
    first, second = bench.join()[0], bench.join()[0]
    assert first.writes[0] is second.writes[0]
    bench.report("agent-1")
    third, _ = bench.join()
    assert third.writes[0] is not first.writes[0]
    assert third.mirror.agents == bench.presences


def test_a_dashboard_over_its_bound_gets_nothing_until_it_has_drained() -> None:
    """Then it gets the state since its seq, and its memory never passed bound and one state."""
    bench = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=4_000, stall_timeout_s=1e9)
    slow, client = bench.join()
    other, _ = bench.join()
    slow.reading = False
    for n in range(2_000):
        bench.report(f"agent-{n % 30}")
        bench.timer.advance(TICK)
    assert bench.hub.n_slow == 1
    assert client.slow_since is not None
    assert slow.peak <= 4_000
    assert bench.hub.queue_bytes() == slow.pending()
    assert other.mirror.agents == bench.presences
    n_read = len(slow.messages)
    slow.read(len(slow.unsent) - 1)
    bench.timer.advance(1)
    assert bench.hub.n_slow == 1, "one byte is unsent still"
    slow.reading = True
    slow.read()
    bench.timer.advance(1)
    assert bench.hub.n_slow == 0
    state = slow.messages[-1]
    assert (state["type"], state["full"]) == ("presence_state", False)
    assert {agent["agent_id"] for agent in state["agents"]} == bench.presences.keys() - {"a"}
    assert slow.mirror.agents == bench.presences
    assert len(slow.messages) < n_read + 100
    bench.report("a")
    assert slow.mirror.agents == bench.presences
    assert bench.hub.stats.n_slow_total == 1


def test_a_dashboard_that_asks_again_and_again_without_reading_is_bounded() -> None:
    """It gets one more state when it has read, of what it asked for last."""
    bench = HubHarness(start=[f"agent-{n}" for n in range(30)], tick_s=TICK, max_queue_bytes=4_000)
    slow, client = bench.join(FakeDashboard(reading=False))
    one_state = slow.peak
    for _ in range(100):
        bench.hub.subscribe(client, MATCH_ALL)
        bench.hub.subscribe(client, A_ONLY)
    assert slow.peak <= 4_000 + one_state
    assert bench.hub.n_slow == 1
    slow.reading = True
    slow.read()
    bench.timer.advance(1)
    assert bench.hub.n_slow == 0
    assert slow.mirror.agents == bench.wanted(A_ONLY)
    bench.report("a")
    assert set(slow.mirror.agents) == {"a"}


def test_a_dashboard_that_drains_while_frames_wait_is_served_behind_them() -> None:
    """Its state would else run ahead of frames that it gets afterwards."""
    bench = HubHarness(start=["a"], tick_s=1.0, drain_check_s=0.25, max_queue_bytes=600)
    slow, _ = bench.join()
    slow.reading = False
    for _ in range(8):
        bench.timer.advance(1.5)
        bench.report("a", "b")
    assert bench.hub.n_slow == 1
    bench.report("c")
    slow.reading = True
    slow.read()
    bench.timer.advance(0.3)
    assert "c" not in slow.mirror.agents
    bench.timer.advance(1.0)
    assert slow.mirror.agents == bench.presences
    seqs = [m["seq"] for m in slow.messages]
    assert seqs == sorted(seqs)


def test_a_dashboard_that_does_not_read_at_all_is_dropped() -> None:
    """After stall_timeout_s over its bound, and not before; the others notice nothing."""
    bench = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=500, stall_timeout_s=30.0)
    stalled, client = bench.join(session="s")
    other, _ = bench.join()
    stalled.reading = False
    while not bench.hub.n_slow:
        bench.report("a")
        bench.timer.advance(TICK)
    bench.timer.advance(29.5)
    assert not stalled.aborted
    bench.timer.advance(1.5)
    assert stalled.aborted
    assert list(bench.hub.clients) != [client]
    assert (len(bench.hub.clients), bench.hub.sessions, bench.hub.n_slow) == (1, {}, 0)
    assert bench.timer.n_calls == 0, "nobody lags: nothing is looked after"
    bench.report("a")
    assert other.mirror.agents == bench.presences


def test_a_slow_dashboard_that_goes_on_reading_is_kept() -> None:
    """Over its bound for much longer than stall_timeout_s, but never silent: it converges."""
    bench = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=500, stall_timeout_s=5.0)
    slow, _ = bench.join()
    slow.reading = False
    while not bench.hub.n_slow:
        bench.report("a")
        bench.timer.advance(TICK)
    while len(slow.unsent) > 20:
        slow.read(20)
        bench.timer.advance(4.0)
    assert not slow.aborted
    slow.reading = True
    slow.read()
    bench.timer.advance(1.0)
    assert slow.mirror.agents == bench.presences


def test_the_limits_refuse_with_a_reason() -> None:
    """Clients in all, and clients of one session; who leaves makes room, twice is once."""
    bench = HubHarness(max_clients=3, max_clients_per_session=2)
    _, first = bench.join(session="s")
    bench.join(session="s")
    with pytest.raises(JoinRefused, match=r"session client limit \(2\) reached") as refused:
        bench.join(session="s")
    assert refused.value.code == CloseCode.POLICY
    bench.join()
    with pytest.raises(JoinRefused, match=r"client limit \(3\) reached"):
        bench.join()
    bench.hub.leave(first)
    bench.hub.leave(first)
    assert bench.hub.sessions == {"s": 1}
    bench.join(session="s")
    assert len(bench.hub.clients) == 3


def test_a_dashboard_that_joins_while_frames_wait_sees_each_change_once() -> None:
    """It is served behind the frames of the tick, whose changes its state already holds."""
    bench = HubHarness(start=["a"], tick_s=TICK)
    bench.report("a")
    bench.report("b")
    late, _ = bench.join()
    assert late.writes == []
    bench.timer.advance(TICK)
    assert late.types() == ["presence_state"]
    assert late.mirror.agents == bench.presences


@pytest.mark.parametrize("state", ["in its group", "joining", "lagging", "in a filter"])
def test_a_dashboard_may_leave_in_any_state(state: str) -> None:
    """Nothing is written to it afterwards and nothing of it stays behind."""
    bench = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=500, stall_timeout_s=5)
    bench.report("a")
    if state == "joining":
        bench.report("a")
    dashboard, client = bench.join(session="s")
    if state == "in a filter":
        bench.hub.subscribe(client, A_ONLY)
    if state == "lagging":
        dashboard.reading = False
        while not bench.hub.n_slow:
            bench.report("a")
            bench.timer.advance(TICK)
    n_writes = len(dashboard.writes)
    bench.hub.leave(client)
    bench.report("a")
    bench.timer.advance(100)
    assert len(dashboard.writes) == n_writes
    assert (bench.hub.clients, bench.hub.sessions, bench.hub.n_slow) == ({}, {}, 0)
    assert not dashboard.aborted
    bench.hub.subscribe(client, A_ONLY)
    assert len(dashboard.writes) == n_writes


def test_a_dashboard_that_breaks_while_it_is_written_to_harms_nobody() -> None:
    """It leaves inside of the write; all others get the tick."""
    bench = HubHarness(start=["a"])
    joined = [bench.join() for _ in range(3)]
    broken, client = joined[1]
    broken.on_write = lambda: bench.hub.leave(client)
    bench.report("a")
    bench.timer.advance(1)
    bench.report("a")
    for dashboard, _ in (joined[0], joined[2]):
        assert dashboard.mirror.agents == bench.presences
    assert len(broken.writes) == 2
    assert len(bench.hub.clients) == 2


def test_another_filter_brings_its_own_full_state() -> None:
    """Agents outside of it are gone, and those that leave it are removed."""
    bench = HubHarness(start=["a", "b", "c"], tick_s=TICK)
    dashboard, client = bench.join()
    bench.hub.subscribe(client, A_ONLY)
    assert dashboard.mirror.agents.keys() == {"a"}
    bench.report("b", "a")
    assert dashboard.mirror.agents == bench.wanted(A_ONLY)
    active = Filter(statuses=frozenset({"active"}))
    bench.hub.subscribe(client, active)
    assert dashboard.mirror.agents.keys() == {"a", "b", "c"}
    bench.timer.advance(1)
    bench.report("a", event_type="session_end")
    assert dashboard.messages[-1]["type"] == "presence_removed"
    assert dashboard.mirror.agents == bench.wanted(active)
    bench.timer.advance(1)
    bench.report("a", event_type="prompt")
    assert dashboard.mirror.agents.keys() == {"a", "b", "c"}
    bench.hub.subscribe(client, MATCH_ALL)
    assert dashboard.mirror.agents == bench.presences


def test_a_filter_of_event_types_lets_only_those_through() -> None:
    """Here the changes of features, and none of the presence updates."""
    bench = HubHarness(start=["a"])
    dashboard, client = bench.join()
    bench.hub.subscribe(client, Filter(event_types=frozenset({"feature_updated"})))
    n_read = len(dashboard.messages)
    bench.report("a")
    bench.timer.advance(1)
    bench.report("a", event_type="feature_updated", extra={"resource_id": "f1", "payload": {}})
    assert [m["type"] for m in dashboard.messages[n_read:]] == ["broadcast_event"]
    assert dashboard.messages[-1]["resource_id"] == "f1"


def test_a_filter_of_agents_narrows_the_changes_of_features_too() -> None:
    """What an agent outside of the filter does to a feature is not told."""
    bench = HubHarness(start=["a", "b"])
    dashboard, client = bench.join()
    bench.hub.subscribe(client, A_ONLY)
    for agent_id in ("a", "b"):
        bench.timer.advance(1)
        extra = {"resource_id": f"f-{agent_id}", "payload": {}}
        bench.report(agent_id, event_type="feature_updated", extra=extra)
    told = [m["resource_id"] for m in dashboard.messages if m["type"] == "broadcast_event"]
    assert told == ["f-a"]


def test_a_forgotten_agent_is_removed_everywhere() -> None:
    """Told as presence_removed, also to who resumes from before; one unknown costs no frame."""
    bench = HubHarness(start=["a", "b"])
    dashboard, _ = bench.join()
    cursor = dashboard.mirror.cursor
    bench.report("a", event_type="forget")
    assert dashboard.messages[-1] == {
        "type": "presence_removed",
        "agent_id": "a",
        "timestamp": dashboard.messages[-1]["timestamp"],
        "seq": 3,
    }
    assert dashboard.mirror.agents == bench.presences
    resumed, _ = bench.join(cursor=cursor)
    assert resumed.messages[0]["removed"] == ["a"]
    assert not resumed.messages[0]["full"]


def test_who_resumes_gets_what_changed_and_no_more() -> None:
    """With a cursor of this epoch, at or behind the server's."""
    bench = HubHarness(start=["a", "b", "c"])
    bench.report("b")
    for seq, names in ((4, []), (3, ["b"]), (2, ["c", "b"])):
        dashboard, _ = bench.join(cursor=Cursor(EPOCH, seq))
        (state,) = dashboard.messages
        assert not state["full"]
        assert [agent["agent_id"] for agent in state["agents"]] in (names, names[::-1])


@pytest.mark.parametrize("cursor", [None, Cursor("another", 4), Cursor(EPOCH, 5)])
def test_a_cursor_that_is_of_no_use_gets_everything(cursor: Cursor | None) -> None:
    """None, another database's, or one ahead of what the store kept."""
    bench = HubHarness(start=["a", "b", "c"])
    bench.report("b")
    dashboard, _ = bench.join(cursor=cursor)
    assert dashboard.messages[0]["full"]
    assert dashboard.mirror.agents == bench.presences


def test_who_resumes_from_before_the_remembered_removals_gets_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only so many forgotten agents are remembered, and none from before the start."""
    monkeypatch.setattr(published_state, "MAX_TOMBSTONES", 2)
    bench = HubHarness(start=["a", "b", "c", "d"])
    for name in ("a", "b", "c"):
        bench.report(name, event_type="forget")
    bench.timer.advance(1)
    assert bench.join(cursor=Cursor(EPOCH, 4))[0].messages[0]["full"]
    delta = bench.join(cursor=Cursor(EPOCH, 5))[0].messages[0]
    assert (delta["full"], delta["removed"]) == (False, ["b", "c"])
    bench.hub = bench.new_hub(forgotten_seq=7)
    assert bench.join(cursor=Cursor(EPOCH, 6))[0].messages[0]["full"]
    assert not bench.join(cursor=Cursor(EPOCH, 7))[0].messages[0]["full"]


def test_replay_gives_every_state_as_updates() -> None:
    """At the start, and after a lag, where removals are told too: in the order of their seq."""
    bench = HubHarness(start=["a", "b"], tick_s=TICK, max_queue_bytes=600, stall_timeout_s=1e9)
    bench.report("a")
    bench.timer.advance(1)
    dashboard, _ = bench.join(legacy_state=True)
    assert [(m["type"], m["seq"]) for m in dashboard.messages] == [
        ("presence_update", 2),
        ("presence_update", 3),
    ]
    dashboard.reading = False
    while not bench.hub.n_slow:
        bench.report("a")
        bench.timer.advance(TICK)
    bench.report("b", event_type="forget")
    dashboard.reading = True
    dashboard.read()
    bench.timer.advance(1)
    assert "presence_state" not in dashboard.types()
    assert dashboard.mirror.agents == bench.presences
    assert dashboard.mirror.agents.keys() == {"a"}


def test_close_sends_what_waits_and_says_goodbye() -> None:
    """Every dashboard gets code 1001, a slow one too; nobody joins afterwards."""
    bench = HubHarness(start=["a"], tick_s=TICK, max_queue_bytes=300)
    dashboard, _ = bench.join(session="s")
    slow = FakeDashboard(reading=False)
    bench.join(slow)
    bench.report("a")
    bench.report("b")
    bench.hub.close()
    assert dashboard.mirror.agents == bench.presences
    assert dashboard.closed == slow.closed == (CloseCode.GOING_AWAY, "server shutting down")
    assert (bench.hub.clients, bench.hub.sessions) == ({}, {})
    with pytest.raises(JoinRefused) as refused:
        bench.join()
    assert refused.value.code == CloseCode.GOING_AWAY
    bench.timer.advance(100)


def test_a_flush_that_takes_long_stretches_the_tick() -> None:
    """Twice its own duration at least, so that taking events in does not starve."""
    bench = HubHarness(start=["a"], tick_s=TICK)
    dashboard, _ = bench.join()

    def spend() -> None:
        bench.timer.now += 5 * TICK

    dashboard.on_write = spend
    bench.report("a")
    dashboard.on_write = None
    n_writes = len(dashboard.writes)
    bench.report("a")
    bench.timer.advance(4.9 * TICK)
    assert len(dashboard.writes) == n_writes
    bench.timer.advance(0.2 * TICK)
    assert len(dashboard.writes) == n_writes + 1
