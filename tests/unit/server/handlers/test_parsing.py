"""Parsing of request bodies into events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent, WireError
from htmlgraph_server.handlers.parsing import (
    MAX_NDJSON_LINES,
    MAX_REQUEST_EVENTS,
    finish,
    ndjson_steps,
    parse_events,
)

GOOD = {"agent_id": "a", "event_type": "tool_execute"}


def test_parse_events_accepts_object_and_array() -> None:
    """An object is one event; an array keeps its order."""
    assert parse_events(GOOD) == [Event(agent_id="a", event_type="tool_execute")]
    assert [e.agent_id for e in parse_events([{"agent_id": n} for n in "cab"])] == ["c", "a", "b"]
    assert parse_events([]) == []


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "agent_id"),
        ([GOOD, {}], "[1].agent_id"),
        ([7], "[0]"),
        ([[GOOD]], "[0]"),
        ("text", None),
        (None, None),
        ([GOOD, GOOD, {"agent_id": "a", "cost_tokens": -1}], "[2].cost_tokens"),
    ],
)
def test_parse_events_error_field_has_index(value: Any, field: str | None) -> None:
    """The field of the error contains the index in the array."""
    with pytest.raises(InvalidEvent) as caught:
        parse_events(value)
    assert caught.value.field == field


def test_parse_events_and_ndjson_limits() -> None:
    """The limit itself is accepted; one more is caught, in both forms."""
    line = json.dumps(GOOD).encode() + b"\n"
    assert len(parse_events([GOOD] * MAX_REQUEST_EVENTS)) == MAX_REQUEST_EVENTS
    assert len(finish(ndjson_steps(line * MAX_REQUEST_EVENTS))) == MAX_REQUEST_EVENTS
    for parse in (
        lambda: parse_events([GOOD] * (MAX_REQUEST_EVENTS + 1)),
        lambda: finish(ndjson_steps(line * (MAX_REQUEST_EVENTS + 1))),
        lambda: finish(ndjson_steps(b"\n" * MAX_NDJSON_LINES)),
    ):
        with pytest.raises(InvalidEvent, match="at most"):
            parse()
    assert finish(ndjson_steps(b"\n" * (MAX_NDJSON_LINES - 1))) == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"agent_id":"a"}\n{"agent_id":"b"}',
        b'{"agent_id":"a"}\n{"agent_id":"b"}\n',
        b'\n  \n{"agent_id":"a"}\r\n\n{"agent_id":"b"}\r\n\r\n',
        b'\xef\xbb\xbf{"agent_id":"a"}\n{"agent_id":"b"}',
    ],
)
def test_parse_ndjson_ignores_line_ends_and_empty_lines(body: bytes) -> None:
    """Both kinds of line ends, empty lines and a byte order mark are accepted."""
    assert [event.agent_id for event in finish(ndjson_steps(body))] == ["a", "b"]


def test_parse_ndjson_error_has_line_number() -> None:
    """Empty lines count."""
    with pytest.raises(InvalidEvent) as caught:
        finish(ndjson_steps(b'\n{"agent_id":"a"}\n\n{"agent_id":7}'))
    assert caught.value.field == "line 4.agent_id"
    with pytest.raises(WireError, match="line 2: invalid JSON"):
        finish(ndjson_steps(b'{"agent_id":"a"}\nnonsense'))
    with pytest.raises(WireError, match="line 1: invalid UTF-8"):
        finish(ndjson_steps(b'{"agent_id":"\xff"}'))


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(st.fixed_dictionaries({"agent_id": TEXTS.filter(lambda t: len(t) <= 256)})))
def test_parse_ndjson_is_equivalent_to_array(values: list[dict[str, str]]) -> None:
    """An array and lines give the same events, whatever the strings contain."""
    body = "\n".join(json.dumps(value, ensure_ascii=False) for value in values).encode()
    assert finish(ndjson_steps(body)) == parse_events(values)


@given(st.binary())
def test_parse_ndjson_never_raises_other_errors(body: bytes) -> None:
    """Any bytes are parsed or caught with an error of this project."""
    try:
        events = finish(ndjson_steps(body))
    except (InvalidEvent, WireError):
        return
    assert events == [] or body.strip()
