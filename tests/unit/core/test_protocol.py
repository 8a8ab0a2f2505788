"""The protocol: encoding, decoding, limits and filters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.protocol import (
    MATCH_ALL,
    MAX_FILTER_VALUES,
    MAX_JSON_VALUES,
    STATE_PART_AGENTS,
    CloseCode,
    Cursor,
    Filter,
    decode,
    decode_json,
    encode_json,
    error_message,
    presence_json,
    presence_message,
    presence_removed,
    presence_state,
    presence_to_wire,
    presence_update,
)
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.errors import InvalidEvent, MessageTooLarge, WireError
from tests.helpers.seed_fields import ORIGINAL_FIELDS
from tests.helpers.strategies import T0, json_values, presences

CURSOR = Cursor("5f3a", 1024)


@given(presences)
def test_presence_to_wire_keeps_the_required_fields(presence: AgentPresence) -> None:
    """The eight required fields come first; empty optional fields are left out."""
    wire = presence_to_wire(presence)
    assert tuple(wire)[:8] == ORIGINAL_FIELDS
    for name in list(wire)[8:]:
        assert wire[name] is not None
        assert wire[name] is not False or name == "hooks"


def test_presence_to_wire_keeps_a_cost_of_zero() -> None:
    """A cost of 0 is sent; an unknown cost is left out."""
    assert presence_to_wire(AgentPresence("a", cost_usd=0.0))["cost_usd"] == 0.0
    assert "cost_usd" not in presence_to_wire(AgentPresence("a", cost_usd=None))
    assert presence_to_wire(AgentPresence("a", total_errors=2))["total_errors"] == 2
    assert "total_errors" not in presence_to_wire(AgentPresence("a"))


@given(presences)
def test_presence_to_wire_is_lossless(presence: AgentPresence) -> None:
    """A reader that takes absent fields as null restores the whole presence."""
    assert AgentPresence.from_dict(json.loads(encode_json(presence_to_wire(presence)))) == presence


@given(presences)
def test_presence_json_equals_the_encoded_object(presence: AgentPresence) -> None:
    """The fast encoder returns the same text as the standard one."""
    assert presence_json(presence) == encode_json(presence_to_wire(presence))


@given(presences, st.integers(0, 2**53 - 1))
def test_presence_update_joins_encoded_parts(presence: AgentPresence, seq: int) -> None:
    """The text is the JSON of the documented message."""
    at = to_rfc3339(T0)
    rows = presence_to_wire(presence)
    text = presence_update(encode_json(rows), encode_json(presence.agent_id), seq, at)
    assert text == encode_json(
        {
            "type": "presence_update",
            "event_type": "presence_update",
            "agent_id": presence.agent_id,
            "presence": rows,
            "timestamp": at,
            "seq": seq,
        }
    )


@given(presences)
def test_presence_message_has_every_field(presence: AgentPresence) -> None:
    """The dict is the same message with every presence field."""
    message = presence_message(presence, T0)
    assert message["presence"] == presence.to_dict()
    assert decode(encode_json(message)) == message
    assert message["seq"] == presence.seq
    assert message["agent_id"] == presence.agent_id


@given(st.text(st.characters(categories=None), min_size=1))
def test_presence_removed_message(agent_id: str) -> None:
    """It contains the agent id, seq and timestamp."""
    assert decode(presence_removed(agent_id, 7, T0)) == {
        "type": "presence_removed",
        "agent_id": agent_id,
        "timestamp": "2025-01-14T14:50:30.000000Z",
        "seq": 7,
    }


@pytest.mark.parametrize(
    ("n_agents", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (STATE_PART_AGENTS, [500]),
        (STATE_PART_AGENTS + 1, [500, 1]),
        (1200, [500, 500, 200]),
    ],
)
@pytest.mark.parametrize("full", [True, False])
def test_presence_state_is_split_into_parts(n_agents: int, sizes: list[int], full: bool) -> None:
    """Each part has at most 500 agents, in order; the last one has the removals."""
    rows = [encode_json({"agent_id": f"a{i}"}) for i in range(n_agents)]
    removed = (name for name in ("removed", "ü"))
    messages = [decode(text) for text in presence_state(CURSOR, rows, removed, full=full, at=T0)]
    assert [len(message["agents"]) for message in messages] == sizes
    assert [row for message in messages for row in message["agents"]] == [
        {"agent_id": f"a{i}"} for i in range(n_agents)
    ]
    for part, message in enumerate(messages, 1):
        last = part == len(messages)
        assert {name: message[name] for name in message if name != "agents"} == {
            "type": "presence_state",
            "epoch": "5f3a",
            "seq": 1024,
            "full": full,
            "part": part,
            "parts": len(sizes),
            "removed": ["removed", "ü"] if last else [],
            "timestamp": "2025-01-14T14:50:30.000000Z",
        }


def test_error_message() -> None:
    """An error on a WebSocket has the same form as in HTTP."""
    assert decode(error_message("bad_frame", "not JSON", "agents")) == {
        "type": "error",
        "error": {"code": "bad_frame", "message": "not JSON", "field": "agents"},
    }


@given(st.from_regex(r"[0-9a-f]{1,64}", fullmatch=True), st.integers(0, 10**15))
def test_cursor_round_trip(epoch: str, seq: int) -> None:
    """A cursor is unchanged after conversion to text."""
    assert Cursor.parse(str(Cursor(epoch, seq))) == Cursor(epoch, seq)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "5f3a", "5f3a:", ":7", "5f3a:-1", "5f3a:1.5", "5f 3a:7", "5f3a:7:7", "5f3a:٣"),
        *("5f3a: 7", "é:7", '"},{:7', "f" * 65 + ":7", "5f3a:" + "9" * 17, "5f3a:" + "9" * 5000),
    ],
)
def test_cursor_rejects_other_texts(text: str) -> None:
    """The error shows the expected form EPOCH:SEQ."""
    with pytest.raises(WireError, match="expected EPOCH:SEQ such as") as raised:
        Cursor.parse(text)
    assert len(str(raised.value)) < 200


@given(st.text(st.characters(categories=None)))
def test_cursor_parse_only_raises_wire_error(text: str) -> None:
    """Any text is a cursor with the same number, or a WireError."""
    try:
        cursor = Cursor.parse(text)
    except WireError:
        return
    assert cursor.seq == int(text.partition(":")[2])


@given(json_values)
def test_encode_json_round_trip(value: Any) -> None:
    """Any JSON value but NaN and Infinity is unchanged, and the text is valid UTF-8."""
    try:
        text = encode_json(value)
    except ValueError as error:
        assert "Out of range float" in str(error)  # noqa: PT017
        return
    text.encode()
    assert decode_json(text) == value


def test_encode_json_is_compact() -> None:
    """There are no spaces, and only lone surrogates are escaped."""
    assert encode_json({"name": "Ü🤖", "n": [1, 2]}) == '{"name":"Ü🤖","n":[1,2]}'
    assert encode_json("\ud83e") == '"\\ud83e"'


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_decode_round_trip(fields: dict[str, Any]) -> None:
    """A message is unchanged after encoding, as text and as bytes."""
    message = {**fields, "type": "ping"}
    assert decode(encode_json(message)) == message
    assert decode(encode_json(message).encode()) == message


@given(st.binary() | st.text(st.characters(categories=None)))
def test_decode_of_any_frame_only_raises_wire_error(frame: str | bytes) -> None:
    """Any frame is a message or a WireError whose text can be sent."""
    try:
        message = decode(frame)
    except WireError as error:
        error_message("bad_frame", str(error)).encode()
    else:
        assert isinstance(message["type"], str)


@given(json_values)
def test_decode_of_any_json_only_raises_wire_error(value: Any) -> None:
    """Any JSON value in a frame is a message or a WireError."""
    for inner in (value, {"type": value}):
        try:
            assert decode(json.dumps(inner)) == inner
        except WireError as error:
            error_message("bad_frame", str(error)).encode()


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("ping", "invalid JSON"),
        ("", "invalid JSON"),
        ("[1]", "message: expected an object, got an array of 1"),
        ('"ping"', "message: expected an object, got 'ping'"),
        ("null", "message: expected an object, got null"),
        ("{}", "type: expected a string, got null"),
        ('{"type": 3}', "type: expected a string, got 3"),
        ('{"type": "x", "n": NaN}', "NaN is not allowed"),
        ('{"type": "x", "n": -Infinity}', "-Infinity is not allowed"),
        ('{"type": "x"} {}', "invalid JSON"),
        (b'{"type": "\xff"}', "invalid UTF-8"),
        ('{"type": "x"}'.encode("utf-16"), "invalid UTF-8"),
        ('{"type": "x"}'.encode("utf-32-be"), "invalid JSON"),
        (b'{"type": "\xed\xa0\x80"}', "invalid UTF-8"),
        ("9" * 5000, "invalid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
    ids=range(17),
)
def test_decode_rejects_invalid_frames(frame: str | bytes, text: str) -> None:
    """The error is short and contains the reason."""
    with pytest.raises(WireError, match=text) as raised:
        decode(frame)
    assert len(str(raised.value)) < 200


def test_decode_accepts_a_byte_order_mark() -> None:
    """Some editors write it at the start of UTF-8 text."""
    assert decode(b'\xef\xbb\xbf{"type":"ping"}') == {"type": "ping"}


@pytest.mark.parametrize("frame", ['{"type":"ping"}', b'{"type":"ping"}'])
def test_decode_limit(frame: str | bytes) -> None:
    """A frame at the limit is accepted; the error for a longer one contains its length."""
    assert decode(frame, limit=15) == {"type": "ping"}
    with pytest.raises(MessageTooLarge, match="at most 14 characters allowed, got 15"):
        decode(frame, limit=14)


LISTS = ("agents", "sessions", "features", "event_types", "statuses")


@given(st.dictionaries(st.sampled_from(LISTS), st.lists(st.sampled_from("abc"), max_size=5)))
def test_filter_ignores_order_and_duplicates(lists: dict[str, list[str]]) -> None:
    """Equivalent filters are equal and have the same hash, so that clients share frames."""
    first = Filter.from_dict({"type": "subscribe", **lists})
    second = Filter.from_dict({name: values[::-1] * 2 for name, values in lists.items()})
    assert first == second
    assert hash(first) == hash(second)
    assert (first == MATCH_ALL) == (not any(lists.values()))


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        ({"agent": ["a"]}, "agent", "did you mean 'agents'"),
        ({"agents": "a"}, "agents", "agents: expected an array of strings, got 'a'"),
        ({"agents": None}, "agents", "agents: expected an array of strings, got null"),
        ({"agents": {"a": 1}}, "agents", "agents: expected an array of strings, got an object"),
        ({"sessions": [1]}, "sessions", "sessions: expected a string, got 1"),
        ({"sessions": [["s"]]}, "sessions", "sessions: expected a string, got an array of 1"),
        ({"features": [""]}, "features", "expected 1 to 256 characters, got 0"),
        ({"statuses": ["x" * 257]}, "statuses", "expected 1 to 256 characters, got 257"),
        ({"agents": ["a\0"]}, "agents", "NUL"),
        (
            {"agents": ["a"] * (MAX_FILTER_VALUES + 1)},
            "agents",
            "agents: at most 256 items allowed, got 257",
        ),
    ],
)
def test_filter_rejects_invalid_fields(message: dict[str, Any], field: str, text: str) -> None:
    """The error contains the field."""
    with pytest.raises(InvalidEvent, match=text) as raised:
        Filter.from_dict({"type": "subscribe", **message})
    assert raised.value.field == field


@given(st.dictionaries(st.text() | st.sampled_from(LISTS), json_values))
def test_filter_from_dict_only_raises_invalid_event(message: dict[str, Any]) -> None:
    """Any object is a filter or an InvalidEvent whose text can be sent."""
    try:
        Filter.from_dict(message)
    except InvalidEvent as error:
        error_message("bad_filter", error.message, error.field).encode()


PRESENCE = AgentPresence("a1", session_id="s1", current_feature_id="f1", last_activity=T0)


@pytest.mark.parametrize(
    ("lists", "matches"),
    [
        ({}, True),
        ({"agents": ["a1"]}, True),
        ({"agents": ["a2"]}, False),
        ({"agents": ["a2", "a1"], "sessions": ["s1"]}, True),
        ({"agents": ["a1"], "sessions": ["s2"]}, False),
        ({"features": ["f1"]}, True),
        ({"features": ["f2"]}, False),
        ({"statuses": ["offline", "idle"]}, True),
        ({"statuses": ["active"]}, False),
        ({"event_types": ["status_changed"]}, True),
    ],
)
def test_filter_matches(lists: dict[str, list[str]], matches: bool) -> None:
    """An agent matches if every given list contains it."""
    filter_ = Filter.from_dict(lists)
    assert filter_.matches(PRESENCE) is matches
    assert filter_.narrows_agents is bool(set(lists) - {"event_types"})


def test_filter_matches_type() -> None:
    """Without event_types, all types match."""
    assert MATCH_ALL.matches_type("link_added")
    only = Filter.from_dict({"event_types": ["status_changed"]})
    assert only.matches_type("status_changed")
    assert not only.matches_type("link_added")


@pytest.mark.parametrize(
    "unit",
    ["{}", "[]", "1", '""', "[[]]", '{"a":1}'],
)
def test_decode_json_bounds_values(unit: str) -> None:
    """The number of values counts, wherever they are; text in strings does not."""
    unit_values = unit.count("[") + unit.count("{") + 1
    few = MAX_JSON_VALUES // unit_values - 1
    assert len(decode_json("[" + ",".join([unit] * few) + "]")) == few
    with pytest.raises(WireError, match="at most 500000 values"):
        decode_json("[" + ",".join([unit] * (MAX_JSON_VALUES + 1)) + "]")


@pytest.mark.parametrize(
    "text", ["1,2;" * 300_000, "\\" * 600_000 + "," * 600_000, '"[{,' * 200_000]
)
def test_decode_json_does_not_count_text_in_strings(text: str) -> None:
    """A file with many commas may be the result of a tool call."""
    assert decode_json(json.dumps({"result": text})) == {"result": text}


@pytest.mark.parametrize(
    "text", ['["' + '\\"' * 1_000_000 + "," * 600_000, '"' * 1_000_001 + "," * 600_000]
)
def test_decode_json_counts_in_linear_time(text: str) -> None:
    """Strings without an end are an error, not a long search."""
    with pytest.raises(WireError):
        decode_json(text)


def test_close_codes_say_whether_to_reconnect() -> None:
    """A client reconnects after a restart or a stall, but not after a rejection."""
    reconnecting = {code for code in CloseCode if code.reconnect}
    assert reconnecting == {CloseCode.GOING_AWAY, CloseCode.TRY_LATER, CloseCode.STALLED}
    assert {int(code) for code in CloseCode} == {
        *(1001, 1002, 1007, 1008, 1009, 1013),
        *(4400, 4408),
    }
