"""Event and AgentPresence: fields, limits and JSON forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core import model
from htmlgraph_nb.core.model import (
    PRESENCE_COLUMNS,
    AgentPresence,
    Event,
    PresenceStatus,
)
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.core.validation import MAX_EXTRA_BYTES, MAX_INTEGER
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.seed_fields import ORIGINAL_FIELDS
from tests.helpers.strategies import T0, events, json_values, presences


@pytest.mark.parametrize("data", [None, 3, "tool_execute", ["a"], True])
def test_event_must_be_an_object(data: object) -> None:
    """Any other value is rejected as a whole."""
    with pytest.raises(InvalidEvent, match="event: expected an object, got ") as caught:
        Event.from_dict(data)
    assert caught.value.field is None


@pytest.mark.parametrize("data", [{}, {"agent_id": None}, {"event_type": "stop"}])
def test_agent_id_is_required(data: dict[str, object]) -> None:
    """An event without an agent_id is rejected, also if it is null."""
    with pytest.raises(InvalidEvent, match="agent_id: missing") as caught:
        Event.from_dict(data)
    assert caught.value.field == "agent_id"


def test_null_means_absent() -> None:
    """An object with null in every field but agent_id is an event with the defaults."""
    nulls = dict.fromkeys(Event.__dataclass_fields__)
    assert Event.from_dict({**nulls, "agent_id": "a"}) == Event(agent_id="a")


def test_unknown_field_suggests_a_similar_name() -> None:
    """The error contains the most similar field and where to put custom fields."""
    with pytest.raises(InvalidEvent) as caught:
        Event.from_dict({"agent_id": "a", "tool_nmae": "Bash"})
    assert caught.value.field == "tool_nmae"
    assert "did you mean 'tool_name'?" in caught.value.message
    assert "'extra'" in caught.value.message


def test_unknown_field_name_is_always_encodable() -> None:
    """The field of an error can be encoded, whatever characters the client sent."""
    with pytest.raises(InvalidEvent) as caught:
        Event.from_dict({"agent_id": "a", "\ud800" + "x" * 500: 1})
    assert caught.value.field is not None
    assert (caught.value.field + caught.value.message).encode()
    assert len(caught.value.message) < 300


def test_keep_unknown_puts_fields_into_extra() -> None:
    """With keep_unknown, unknown fields go into extra; the given extra takes precedence."""
    event = Event.from_dict(
        {"agent_id": "a", "colour": "red", "n": 1, "extra": {"n": 2}}, keep_unknown=True
    )
    assert event.extra == {"colour": "red", "n": 2}


def test_keep_unknown_keeps_the_limits_of_extra() -> None:
    """The limits of extra apply to the given and the unknown fields together."""
    half = "x" * (MAX_EXTRA_BYTES * 2 // 3)
    with pytest.raises(InvalidEvent, match="at most 16384 bytes allowed"):
        Event.from_dict({"agent_id": "a", "one": half, "extra": {"two": half}}, keep_unknown=True)


def test_extra_is_a_copy() -> None:
    """Modifying the original dict does not change the event."""
    extra = {"list": [1]}
    event = Event.from_dict({"agent_id": "a", "extra": extra})
    extra["list"].append(2)
    assert event.extra == {"list": [1]}


def test_invalid_event_within_prefixes_the_field() -> None:
    """An error in an array of events contains the index and the field."""
    assert InvalidEvent("wrong", "agent_id").within("[3]").field == "[3].agent_id"
    assert InvalidEvent("wrong").within("[3]").field == "[3]"


@pytest.mark.parametrize("field", ["speed", "service_tier", "inference_geo", "event_type"])
def test_terms_have_at_most_64_characters(field: str) -> None:
    """Terms are shorter than names, in an object as in an instance."""
    longest = "x" * 64
    assert getattr(Event.from_dict({"agent_id": "a", field: longest}), field) == longest
    assert Event(agent_id="a", **{field: longest}).checked()
    for make in (
        lambda: Event.from_dict({"agent_id": "a", field: longest + "x"}),
        lambda: Event(agent_id="a", **{field: longest + "x"}).checked(),
    ):
        with pytest.raises(InvalidEvent, match=f"{field}: expected 1 to 64 characters, got 65"):
            make()


@pytest.mark.parametrize("field", ["web_searches", "input_hash"])
def test_counts_are_exact_in_javascript(field: str) -> None:
    """The largest count is 2^53-1; a negative one is rejected."""
    event = Event.from_dict({"agent_id": "a", field: MAX_INTEGER})
    assert event.checked().to_dict()[field] == MAX_INTEGER
    for value in (-1, MAX_INTEGER + 1, "7", True):
        with pytest.raises(InvalidEvent, match=f"{field}: expected an integer"):
            Event.from_dict({"agent_id": "a", field: value})


@given(json_values)
def test_event_from_dict_only_raises_invalid_event(value: object) -> None:
    """Any JSON value is accepted as an event or rejected with InvalidEvent."""
    for keep_unknown in (False, True):
        try:
            Event.from_dict(value, keep_unknown=keep_unknown)
        except InvalidEvent as error:
            error.message.encode()


@given(st.dictionaries(st.sampled_from(list(Event.__dataclass_fields__)), json_values))
def test_event_fields_only_raise_invalid_event(fields: dict[str, object]) -> None:
    """Any JSON values in the fields are accepted or rejected with InvalidEvent."""
    try:
        event = Event.from_dict({"agent_id": "a", **fields})
    except InvalidEvent as error:
        field, text = error.field, error.message
    else:
        field, text = None, json.dumps(event.to_dict(), ensure_ascii=False, allow_nan=False)
    assert field is None or field in fields
    text.encode()


def outcome(make: Callable[[], Event]) -> Event | str:
    """Return the event, or the error message and its field."""
    try:
        return make()
    except InvalidEvent as error:
        return error.message


_values = st.one_of(
    json_values,
    st.text(min_size=250, max_size=260),
    st.sampled_from(["ok", "error", "", True, 0, 2**53, -0.0, 1.0, "a\0", "é", "\ud800"]),
    st.datetimes(),
    st.datetimes(datetime(1999, 12, 31, 23), datetime(2000, 1, 1, 1), timezones=st.just(UTC)),
)


@given(st.dictionaries(st.sampled_from(list(Event.__dataclass_fields__)), _values, max_size=4))
def test_event_checked_equals_from_dict(fields: dict[str, Any]) -> None:
    """A constructed event passes the same validation as its JSON object."""
    fields = {"agent_id": "a", **fields}
    order = [name for name in Event.__dataclass_fields__ if fields.get(name) is not None]
    kept = {name: fields[name] for name in order}
    checked = outcome(lambda: Event(**fields).checked())
    assert repr(checked) == repr(outcome(lambda: Event.from_dict(kept)))
    if isinstance(checked, Event) and checked.extra is not None:
        assert checked.extra is not fields["extra"]


@given(events)
def test_event_round_trip(event: Event) -> None:
    """An event is unchanged after conversion to an object and to JSON."""
    assert Event.from_dict(event.to_dict()) == event
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event


@given(events)
def test_event_total_tokens(event: Event) -> None:
    """It is cost_tokens if given, else the sum of the kinds, at most 2^53-1."""
    kinds = [getattr(event, name) or 0 for name in model.TOKEN_FIELDS]
    expected = sum(kinds) if event.cost_tokens is None else event.cost_tokens
    assert event.total_tokens == min(expected, MAX_INTEGER)


@given(presences)
def test_presence_round_trip(presence: AgentPresence) -> None:
    """A presence is unchanged after conversion to JSON."""
    assert AgentPresence.from_dict(json.loads(json.dumps(presence.to_dict()))) == presence


@given(presences)
def test_presence_fields_are_in_order(presence: AgentPresence) -> None:
    """The JSON object has every field in the order of the class, the eight required ones first."""
    assert tuple(presence.to_dict()) == PRESENCE_COLUMNS
    assert PRESENCE_COLUMNS[:8] == ORIGINAL_FIELDS


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "agent_id"),
        ({"agent_id": 3}, "agent_id"),
        ([], "agent_id"),
        ({"agent_id": "a", "status": "asleep"}, "status"),
        ({"agent_id": "a", "status": ["active"]}, "status"),
        ({"agent_id": "a", "last_activity": "now"}, "last_activity"),
        ({"agent_id": "a", "since": 5}, "since"),
        ({"agent_id": "a", "seq": "5"}, "seq"),
        ({"agent_id": "a", "seq": True}, "seq"),
        ({"agent_id": "a", "total_cost_tokens": -1}, "total_cost_tokens"),
        ({"agent_id": "a", "total_tools_executed": [1]}, "total_tools_executed"),
    ],
)
def test_presence_rejects_invalid_fields(data: Any, field: str) -> None:
    """The error contains the field: id, status, timestamp or count."""
    with pytest.raises(InvalidEvent) as caught:
        AgentPresence.from_dict(data)
    assert caught.value.field == field


def test_presence_ignores_unknown_fields() -> None:
    """A newer server may send more fields."""
    data = {"agent_id": "a", "last_activity": to_rfc3339(T0), "mood": "good"}
    assert AgentPresence.from_dict(data) == AgentPresence("a", last_activity=T0)


@given(json_values)
def test_presence_from_dict_only_raises_invalid_event(value: Any) -> None:
    """Any JSON value is accepted as a presence or rejected with InvalidEvent."""
    for data in (value, {"agent_id": "a", "status": value}, {"agent_id": "a", "since": value}):
        try:
            AgentPresence.from_dict(data)
        except InvalidEvent as error:
            error.message.encode()


def test_presence_status_is_a_string() -> None:
    """A status prints, compares and serializes as its value."""
    assert str(PresenceStatus.ACTIVE) == "active"
    assert PresenceStatus.ACTIVE == "active"
    assert json.dumps(PresenceStatus.IDLE) == '"idle"'
