"""The hash of a tool call's input: the same for equal inputs, under any key another one."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.input_hash import KEY_BYTES, input_hash, no_hash
from htmlgraph_nb.core.validation import MAX_INTEGER
from tests.helpers.strategies import json_values

KEY = bytes(range(KEY_BYTES))


def test_input_hash_is_the_documented_one() -> None:
    """The first 53 bits of a BLAKE2b of 8 bytes of the JSON with sorted keys."""
    text = rb'{"a":[1,"\u00e4\ud800"],"command":"ls"}'
    digest = blake2b(text, key=KEY, digest_size=8).digest()
    value = {"command": "ls", "a": [1, "ä\ud800"]}
    assert input_hash(value, KEY) == int.from_bytes(digest, "big") // 2**11


@given(json_values, st.integers(0, 4))
def test_input_hash_of_any_value_fits_a_count(value: Any, indent: int) -> None:
    """The text of the value, as another program writes it, makes no difference."""
    hashed = input_hash(value, KEY)
    assert (hashed is None) == (value is None)
    assert hashed is None or 0 <= hashed <= MAX_INTEGER
    assert input_hash(json.loads(json.dumps(value, indent=indent)), KEY) == hashed


def test_input_hash_ignores_the_order_of_keys() -> None:
    """Programs write objects in any order; lists have one."""
    assert input_hash({"a": 1, "b": {"c": 2, "d": 3}}, KEY) == input_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}, KEY
    )
    assert input_hash([1, 2], KEY) != input_hash([2, 1], KEY)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1"), ("-0.0", "0"), ("1e3", "1000"), ("9007199254740993", "9007199254740992.0")],
)
def test_input_hash_compares_numbers_as_javascript(one: str, other: str) -> None:
    """An agent that is written in JavaScript has only one kind of number."""
    assert input_hash({"n": json.loads(one)}, KEY) == input_hash({"n": json.loads(other)}, KEY)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (1, "1"), (0.1, 0.2), ({}, []), ("", {}), (1, 2)]
)
def test_input_hash_of_other_values_differs(one: Any, other: Any) -> None:
    """Values that Python counts as equal can differ in JSON."""
    assert input_hash({"x": one}, KEY) != input_hash({"x": other}, KEY)


def test_input_hash_depends_on_the_key() -> None:
    """Without the key nobody can compute it."""
    assert input_hash({"command": "ls"}, KEY) != input_hash({"command": "ls"}, bytes(KEY_BYTES))


def nested(depth: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), {"x": {1}}, {1: 2, "a": 3}, nested(101), 10**400])
def test_input_hash_of_what_it_cannot_compare_is_none(value: Any) -> None:
    """Objects of Python, too many levels, and numbers that no double can hold."""
    assert input_hash(value, KEY) is None


def test_input_hash_of_large_inputs() -> None:
    """Its size does not depend on that of the input."""
    assert input_hash(nested(100), KEY) is not None
    assert input_hash({"content": "ä" * 3_000_000}, KEY) is not None


def test_hash_of_no_hash_is_none() -> None:
    """Readers that need no hash do not compute one."""
    assert no_hash({"command": "ls"}) is None
