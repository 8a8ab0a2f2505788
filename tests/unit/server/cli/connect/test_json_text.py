"""The parser of JSON text with positions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.errors import InvalidJson
from htmlgraph_server.cli.connect.json_text import parse_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=9,
)
layouts = st.sampled_from([{}, {"indent": 2}, {"indent": 4}, {"indent": "\t"}])


@given(values, layouts)
def test_parse_json_agrees_with_json_loads(value: Any, layout: dict[str, Any]) -> None:
    """The value is that of json.loads, and the node has its position."""
    text = json.dumps(value, **layout)
    node = parse_json(f" {text}\n")
    assert node.value == json.loads(text)
    assert json.loads(f" {text}\n"[node.start : node.end]) == node.value


@given(st.text(max_size=40) | st.text('{}[],:"/*\\ntfaluse01-.eE ', max_size=30))
def test_parse_json_refuses_what_json_loads_refuses(text: str) -> None:
    """Any text without comments is accepted or refused by both."""
    try:
        expected = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        expected = InvalidJson
    try:
        actual: Any = parse_json(text).value
    except InvalidJson:
        actual = InvalidJson
    if "/*" not in text and "//" not in text:
        assert actual == expected


def _refuse(_: str) -> None:
    raise ValueError


def test_parse_json_limits_the_nesting() -> None:
    """Deep nesting must not exhaust the stack."""
    with pytest.raises(InvalidJson, match="at most 100 levels"):
        parse_json("[" * 5_000)
