"""Activity: events and errors per minute."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.activity import MINUTES, Activity
from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.strategies import T0, at, json_values

PRESENCE = AgentPresence("a", last_activity=T0, total_tools_executed=3, total_errors=1)


def counts(activity: Activity, now, agent: str = "a") -> tuple[list[int], list[int]]:
    """Return the events and errors of an agent per minute; zeros if there are none."""
    result = activity.to_dict(now)["agents"].get(agent)
    return (
        ([0] * MINUTES, [0] * MINUTES) if result is None else (result["events"], result["errors"])
    )


def test_count_adds_to_the_bucket_of_its_minute():
    """The current minute is the last bucket; after 15 minutes a bucket is dropped."""
    activity = Activity()
    activity.count("a", T0, 4, 1)
    assert counts(activity, T0) == ([0] * 14 + [4], [0] * 14 + [1])
    assert counts(activity, at(60))[0] == [0] * 13 + [4, 0]
    assert counts(activity, at(60 * 14))[0] == [4] + [0] * 14
    assert activity.to_dict(at(60 * 15))["agents"] == {}
    assert activity.to_dict(T0)["at"] == "2025-01-14T14:50:30.000000Z"
    assert activity.to_dict(T0)["minutes"] == MINUTES


@pytest.mark.parametrize(
    ("changes", "events", "errors"),
    [
        ({"last_activity": at(1)}, 1, 0),
        ({"last_activity": at(1), "total_tools_executed": 4}, 1, 0),
        ({"last_activity": at(1), "total_tools_executed": 8}, 5, 0),
        ({"last_activity": at(1), "total_tools_executed": 5, "total_errors": 3}, 2, 2),
        ({"last_activity": at(1), "total_tools_executed": 0, "total_errors": 0}, 1, 0),
        ({"total_cost_tokens": 9}, 0, 0),
        ({}, 0, 0),
    ],
    ids=["event", "a tool", "many tools", "errors", "new session", "late", "timer"],
)
def test_record_change_counts_tools_and_errors(changes, events, errors):
    """Activity counts as at least one event, a timer as none."""
    activity = Activity()
    activity.record_change(PRESENCE, replace(PRESENCE, **changes), at(2))
    n_events, n_errors = map(sum, counts(activity, at(2)))
    assert (n_events, n_errors) == (events, errors)


def test_record_change_counts_new_agents_only_if_active_now():
    """Agents in the first state of a server were not necessarily active just now."""
    activity = Activity()
    activity.record_change(None, PRESENCE, at(3600))
    assert counts(activity, at(3600))[0] == [0] * 15
    activity.record_change(None, PRESENCE, at(1))
    assert sum(counts(activity, at(1))[0]) == 1
    activity.forget("a")
    assert activity.to_dict(at(1))["agents"] == {}


@given(
    events=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 5), st.integers(0, 2))),
    later=st.integers(0, 1000),
)
def test_activity_equals_a_count_per_minute(events, later):
    """In any order of arrival, the buckets are the minutes of the clock."""
    activity, now = Activity(), at(3000 + later)
    for second, n_events, n_errors in sorted(events):
        activity.count("a", at(second), n_events, n_errors)
    floor = now.replace(second=0, microsecond=0)
    expected = [
        sum(n for second, n, _ in events if start <= at(second) < start + timedelta(minutes=1))
        for start in (floor - timedelta(minutes=14 - index) for index in range(MINUTES))
    ]
    assert counts(activity, now)[0] == expected


def test_replace_uses_the_counts_of_the_server():
    """The counts are returned unchanged and move with the clock."""
    activity, other = Activity(), Activity()
    activity.count("a", T0, 1)
    other.count("b", at(-200), 7, 2)
    activity.replace(other.to_dict(T0))
    assert activity.to_dict(T0) == other.to_dict(T0)
    assert activity.to_dict(at(70)) == other.to_dict(at(70))


def test_replace_keeps_changes_after_the_cursor():
    """A response may be a second old, or include changes that arrive later."""
    activity, server = Activity(), Activity()
    states = [
        replace(PRESENCE, seq=n, last_activity=at(n), total_tools_executed=n) for n in range(6)
    ]
    for before, after in pairwise(states[:5]):
        activity.record_change(before, after, at(10))
    server.count("a", at(10), 3)
    for _ in range(2):
        activity.replace({**server.to_dict(at(10)), "cursor": "e:3"})
        assert sum(counts(activity, at(10))[0]) == 4
    server.count("a", at(10), 2)
    activity.replace({**server.to_dict(at(10)), "cursor": "e:5"})
    activity.record_change(states[4], states[5], at(10))
    assert sum(counts(activity, at(10))[0]) == 5
    activity.record_change(states[5], replace(states[5], seq=6, last_activity=at(9)), at(10))
    activity.forget("a")
    activity.replace({**Activity().to_dict(at(10)), "cursor": "e:5"})
    assert activity.to_dict(at(10))["agents"] == {}


def test_replace_without_cursor_drops_recent_changes():
    """Older servers send no cursor."""
    activity = Activity()
    activity.record_change(PRESENCE, replace(PRESENCE, seq=7, last_activity=at(1)), at(2))
    activity.replace(Activity().to_dict(at(2)))
    assert activity.to_dict(at(2))["agents"] == {}
    activity.record_change(PRESENCE, replace(PRESENCE, seq=1, last_activity=at(1)), at(2))
    assert sum(counts(activity, at(2))[0]) == 1


@pytest.mark.parametrize("cursor", ["", "e", "e:-1", 5, ["e:1"]])
def test_replace_rejects_an_invalid_cursor(cursor):
    """The error is InvalidEvent, and the counts are unchanged."""
    activity = Activity()
    activity.count("a", T0, 1)
    with pytest.raises(InvalidEvent, match="activity: invalid response"):
        activity.replace({**Activity().to_dict(T0), "cursor": cursor})
    assert sum(counts(activity, T0)[0]) == 1


@given(response=json_values)
def test_replace_rejects_an_invalid_response(response):
    """The error is InvalidEvent, and the counts are unchanged."""
    activity = Activity()
    activity.count("a", T0, 1)
    with pytest.raises(InvalidEvent, match="activity: invalid response"):
        activity.replace(response)
    assert sum(counts(activity, T0)[0]) == 1
