"""Event and AgentPresence: what they take in, what they refuse, and their JSON form."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core import model
from htmlgraph_nb.core.model import PRESENCE_COLUMNS, AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.timestamps import from_micros, to_micros, to_rfc3339
from htmlgraph_nb.core.validation import MAX_EXTRA_BYTES, MAX_EXTRA_DEPTH, MAX_INTEGER, parse_time
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.seed_fields import ORIGINAL_FIELDS
from tests.helpers.strategies import T0, events, json_values, presences, timestamps


def nested(depth: int) -> dict[str, Any]:
    """Return an object of ``depth`` levels."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


ACCEPTED: list[tuple[str, object, object]] = [
    ("agent_id", "a" * 256, "a" * 256),
    ("agent_id", "Ägent 🤖", "Ägent 🤖"),
    ("event_type", "x" * 64, "x" * 64),
    ("input_tokens", 0, 0),
    ("input_tokens", MAX_INTEGER, MAX_INTEGER),
    ("input_tokens", 12.0, 12),
    ("duration_ms", None, None),
    ("cost_usd", 3, 3.0),
    ("cost_usd", 0.25, 0.25),
    ("status", "error", "error"),
    ("extra", {}, {}),
    ("extra", {"a": [1, None, {"b": "ü"}]}, {"a": [1, None, {"b": "ü"}]}),
    ("extra", {"pair": (1, 2)}, {"pair": [1, 2]}),
    ("extra", nested(MAX_EXTRA_DEPTH), nested(MAX_EXTRA_DEPTH)),
    ("extra", {"flat": [[]] * 200}, {"flat": [[]] * 200}),
    ("extra", {"t": "x" * (MAX_EXTRA_BYTES - 8)}, {"t": "x" * (MAX_EXTRA_BYTES - 8)}),
    ("timestamp", "2025-01-14T14:50:30Z", T0),
    ("timestamp", "2025-01-14T14:50:30.123456Z", T0 + timedelta(microseconds=123456)),
    ("timestamp", "2025-01-14T15:50:30+01:00", T0),
    ("timestamp", "2025-01-14T09:20:30-05:30", T0),
    ("timestamp", T0.astimezone(timezone(timedelta(hours=9))), T0),
    ("timestamp", "2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(
    ("name", "value", "kept"), ACCEPTED, ids=[f"{row[0]}-{i}" for i, row in enumerate(ACCEPTED)]
)
def test_accepts(name: str, value: object, kept: object) -> None:
    """A value inside its bounds is kept in its canonical form."""
    event = Event.from_dict({"agent_id": "a", name: value})
    assert getattr(event, name) == kept


REFUSED: list[tuple[str, object, str]] = [
    ("agent_id", "", "expected 1 to 256 characters, got 0"),
    ("agent_id", "a" * 257, "expected 1 to 256 characters, got 257"),
    ("agent_id", 7, "expected a string, got 7"),
    ("agent_id", True, "expected a string, got true"),
    ("agent_id", ["a"], "expected a string, got an array of 1"),
    ("agent_id", {"a": 1}, "expected a string, got an object"),
    ("agent_id", "a\0b", "NUL characters are not allowed"),
    ("session_id", "\ud800", "lone surrogates are not allowed, got one at index 0"),
    ("event_type", "x" * 65, "expected 1 to 64 characters, got 65"),
    ("input_tokens", True, "expected an integer from 0 to 2^53-1, got true"),
    ("input_tokens", -1, "expected an integer from 0 to 2^53-1, got -1"),
    ("input_tokens", 2**53, "expected an integer from 0 to 2^53-1, got 9007199254740992"),
    (
        "input_tokens",
        10**5000,
        "expected an integer from 0 to 2^53-1, got an integer of 16610 bits",
    ),
    ("input_tokens", 1.5, "expected an integer from 0 to 2^53-1, got 1.5"),
    ("input_tokens", float("nan"), "expected an integer from 0 to 2^53-1, got nan"),
    ("input_tokens", float("inf"), "expected an integer from 0 to 2^53-1, got inf"),
    ("input_tokens", "12", "expected an integer from 0 to 2^53-1, got '12'"),
    ("cost_usd", False, "expected a number from 0 to 2^53-1, got false"),
    ("cost_usd", -0.01, "expected a number from 0 to 2^53-1, got -0.01"),
    ("cost_usd", float("nan"), "expected a number from 0 to 2^53-1, got nan"),
    ("cost_usd", float("inf"), "expected a number from 0 to 2^53-1, got inf"),
    ("cost_usd", "0.5", "expected a number from 0 to 2^53-1, got '0.5'"),
    ("status", "failed", 'expected "ok" or "error", got \'failed\''),
    ("status", ["ok"], 'expected "ok" or "error", got an array of 1'),
    ("extra", [1], "expected an object, got an array of 1"),
    ("extra", {"x": float("nan")}, "cannot be encoded as JSON"),
    ("extra", {"x": object()}, "cannot be encoded as JSON"),
    ("extra", {"x": "\ud83e"}, "lone surrogates are not allowed"),
    ("extra", {"t": "x" * MAX_EXTRA_BYTES}, "at most 16384 bytes allowed, got 16392"),
    ("extra", nested(MAX_EXTRA_DEPTH + 1), "at most 64 levels of nesting allowed"),
    ("extra", nested(50_000), "extra: cannot be encoded as JSON"),
    (
        "timestamp",
        "yesterday",
        "expected an RFC 3339 string such as 2025-01-14T14:50:30.123456Z, got 'yesterday'",
    ),
    ("timestamp", 1736866230, "expected an RFC 3339 string, got 1736866230"),
    ("timestamp", "1999-12-31T23:59:59Z", "expected a year from 2000 to 2199"),
    ("timestamp", "2200-01-01T00:00:00Z", "expected a year from 2000 to 2199"),
    ("timestamp", "0001-01-01T00:00:00+14:00", "expected an RFC 3339 string"),
    ("timestamp", "9999-12-31T23:59:59-14:00", "expected an RFC 3339 string"),
    ("timestamp", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "expected"),
    ("timestamp", datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-14))), "expected"),
    ("timestamp", datetime.min, "expected"),
    ("timestamp", datetime.max, "expected"),
]


@pytest.mark.parametrize(
    ("name", "value", "text"), REFUSED, ids=[f"{row[0]}-{i}" for i, row in enumerate(REFUSED)]
)
def test_refuses(name: str, value: object, text: str) -> None:
    """A value out of bounds is refused; the error names the field, what was seen and expected."""
    with pytest.raises(InvalidEvent) as caught:
        Event.from_dict({"agent_id": "a", name: value})
    assert caught.value.field == name
    assert caught.value.message.startswith(name)
    assert text in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("data", [None, 3, "tool_execute", ["a"], True])
def test_event_must_be_an_object(data: object) -> None:
    """An event that is no object is refused as a whole."""
    with pytest.raises(InvalidEvent, match="event: expected an object, got ") as caught:
        Event.from_dict(data)
    assert caught.value.field is None


@pytest.mark.parametrize("data", [{}, {"agent_id": None}, {"event_type": "stop"}])
def test_agent_id_must_be_there(data: dict[str, object]) -> None:
    """An event without an agent_id is refused, also where it is null."""
    with pytest.raises(InvalidEvent, match="agent_id: missing") as caught:
        Event.from_dict(data)
    assert caught.value.field == "agent_id"


def test_null_is_absent() -> None:
    """An object with null in every field but agent_id is the event with the defaults."""
    nulls = dict.fromkeys(Event.__dataclass_fields__)
    assert Event.from_dict({**nulls, "agent_id": "a"}) == Event(agent_id="a")


def test_unknown_field_suggests_the_nearest() -> None:
    """A misspelled field is refused with the name that was meant and where other data goes."""
    with pytest.raises(InvalidEvent) as caught:
        Event.from_dict({"agent_id": "a", "tool_nmae": "Bash"})
    assert caught.value.field == "tool_nmae"
    assert "did you mean 'tool_name'?" in caught.value.message
    assert "'extra'" in caught.value.message


def test_unknown_field_name_is_always_writable() -> None:
    """The field of an error can be encoded, whatever characters the sender used."""
    with pytest.raises(InvalidEvent) as caught:
        Event.from_dict({"agent_id": "a", "\ud800" + "x" * 500: 1})
    assert caught.value.field is not None
    assert (caught.value.field + caught.value.message).encode()
    assert len(caught.value.message) < 300


def test_keep_unknown_puts_fields_into_extra() -> None:
    """With keep_unknown the unknown fields go into extra, where a given extra wins."""
    event = Event.from_dict(
        {"agent_id": "a", "colour": "red", "n": 1, "extra": {"n": 2}}, keep_unknown=True
    )
    assert event.extra == {"colour": "red", "n": 2}


def test_keep_unknown_keeps_the_bounds_of_extra() -> None:
    """With keep_unknown too, extra has its bound, for both sources together."""
    half = "x" * (MAX_EXTRA_BYTES * 2 // 3)
    with pytest.raises(InvalidEvent, match="at most 16384 bytes allowed"):
        Event.from_dict({"agent_id": "a", "one": half, "extra": {"two": half}}, keep_unknown=True)


def test_extra_is_a_copy() -> None:
    """The sender can go on to use its dict without changing the event."""
    extra = {"list": [1]}
    event = Event.from_dict({"agent_id": "a", "extra": extra})
    extra["list"].append(2)
    assert event.extra == {"list": [1]}


def test_within_puts_the_place_before_the_field() -> None:
    """An error in an array of events names the place and the field."""
    assert InvalidEvent("wrong", "agent_id").within("[3]").field == "[3].agent_id"
    assert InvalidEvent("wrong").within("[3]").field == "[3]"


@pytest.fixture
def _kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_kathmandu")
@pytest.mark.parametrize("value", ["2025-01-14T20:35:30", datetime(2025, 1, 14, 20, 35, 30)])
def test_naive_time_is_local(value: str | datetime) -> None:
    """A time without an offset is taken as local time, here 5:45 hours before UTC."""
    assert parse_time(value) == T0
    assert parse_time(value).tzinfo is UTC


@given(st.datetimes())
def test_any_datetime_is_taken_or_refused(moment: datetime) -> None:
    """Naive datetimes of the years 1 to 9999 end in a time of 2000 to 2199 or in InvalidEvent."""
    try:
        found = parse_time(moment)
    except InvalidEvent:
        assert not 2001 < moment.year < 2199
    else:
        assert 1999 < found.year < 2200


@given(timestamps)
def test_time_forms_round_trip(moment: datetime) -> None:
    """RFC 3339 text and microseconds keep every microsecond."""
    text = to_rfc3339(moment)
    assert len(text) == 27
    assert text.endswith("Z")
    assert parse_time(text) == moment
    assert from_micros(to_micros(moment)) == moment


@given(json_values)
def test_arbitrary_values_only_raise_invalid_event(value: object) -> None:
    """Any JSON value as an event is taken or refused with InvalidEvent, nothing else."""
    for keep_unknown in (False, True):
        try:
            Event.from_dict(value, keep_unknown=keep_unknown)
        except InvalidEvent as error:
            error.message.encode()


@given(st.dictionaries(st.sampled_from(list(Event.__dataclass_fields__)), json_values))
def test_arbitrary_field_values_only_raise_invalid_event(fields: dict[str, object]) -> None:
    """Any JSON values in the known fields are taken or refused with InvalidEvent, nothing else."""
    try:
        event = Event.from_dict({"agent_id": "a", **fields})
    except InvalidEvent as error:
        refused, text = error.field, error.message
    else:
        refused, text = None, json.dumps(event.to_dict(), ensure_ascii=False, allow_nan=False)
    assert refused is None or refused in fields
    text.encode()


def outcome(make: Callable[[], Event]) -> Event | str:
    """Return the event, or why it is refused."""
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
def test_an_event_is_checked_as_its_object_is(fields: dict[str, Any]) -> None:
    """What a built event has passes the checks, or not, as in an object: no way around them."""
    fields = {"agent_id": "a", **fields}
    order = [name for name in Event.__dataclass_fields__ if fields.get(name) is not None]
    kept = {name: fields[name] for name in order}
    checked = outcome(lambda: Event(**fields).checked())
    assert repr(checked) == repr(outcome(lambda: Event.from_dict(kept)))
    if isinstance(checked, Event) and checked.extra is not None:
        assert checked.extra is not fields["extra"]


@given(events)
def test_event_round_trip(event: Event) -> None:
    """An event survives its JSON form, as an object and as text."""
    assert Event.from_dict(event.to_dict()) == event
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event


@given(events)
def test_total_tokens(event: Event) -> None:
    """All tokens are cost_tokens where given, else the sum, and never more than 2^53-1."""
    kinds = [getattr(event, name) or 0 for name in model.TOKEN_FIELDS]
    expected = sum(kinds) if event.cost_tokens is None else event.cost_tokens
    assert event.total_tokens == min(expected, MAX_INTEGER)


@given(presences)
def test_presence_round_trip(presence: AgentPresence) -> None:
    """A presence survives its JSON form."""
    assert AgentPresence.from_dict(json.loads(json.dumps(presence.to_dict()))) == presence


@given(presences)
def test_presence_fields_are_in_order(presence: AgentPresence) -> None:
    """The JSON object has every field in the order of the class, the eight old ones first."""
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
def test_presence_refuses(data: Any, field: str) -> None:
    """A presence whose id, status, time or count cannot be read is refused by the field's name."""
    with pytest.raises(InvalidEvent) as caught:
        AgentPresence.from_dict(data)
    assert caught.value.field == field


def test_presence_ignores_what_it_does_not_know() -> None:
    """A field of a newer server is no error."""
    data = {"agent_id": "a", "last_activity": to_rfc3339(T0), "mood": "good"}
    assert AgentPresence.from_dict(data) == AgentPresence("a", last_activity=T0)


@given(json_values)
def test_arbitrary_presence_only_raises_invalid_event(value: Any) -> None:
    """Any JSON value as a presence is taken or refused with InvalidEvent, nothing else."""
    for data in (value, {"agent_id": "a", "status": value}, {"agent_id": "a", "since": value}):
        try:
            AgentPresence.from_dict(data)
        except InvalidEvent as error:
            error.message.encode()


def test_status_is_its_word() -> None:
    """A status prints, compares and serializes as its word."""
    assert str(PresenceStatus.ACTIVE) == "active"
    assert PresenceStatus.ACTIVE == "active"
    assert json.dumps(PresenceStatus.IDLE) == '"idle"'
