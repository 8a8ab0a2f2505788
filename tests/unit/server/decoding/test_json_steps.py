"""JSON in steps: the same values and errors as at once, and no long step."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htmlgraph_nb.core.protocol import decode_json
from htmlgraph_nb.errors import WireError
from htmlgraph_server.decoding import json_steps as unit
from tests.benchmarks.heavy_requests import HOSTILE, valid_batch


def run(steps: Generator[None, None, Any]) -> tuple[Any, int]:
    """Return the value of a generator and the number of its steps."""
    n_steps = 1
    try:
        while True:
            next(steps)
            n_steps += 1
    except StopIteration as end:
        return end.value, n_steps


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=40,
)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make steps short, so that short texts have many."""
    monkeypatch.setattr(unit, "STEP_CHARS", 48)
    monkeypatch.setattr(unit, "STEP_BYTES", 7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_steps")
@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_steps_decode_any_value(value: object, indent: Any, ascii_only: bool) -> None:
    """Parts may end anywhere: in strings, escapes, numbers and names."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    try:
        expected = decode_json(data)
    except WireError:
        with pytest.raises(WireError, match="UTF-8"):
            run(unit.json_steps(data))
        return
    assert run(unit.json_steps(data))[0] == expected
    assert run(unit.json_steps(text))[0] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_steps")
@given(VALUES, st.data())
def test_json_steps_refuse_damaged_text(value: object, data: st.DataObject) -> None:
    """A text with a changed or missing character is refused if it is refused at once."""
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text) - 1))
    with_change = text[:at] + data.draw(st.sampled_from(["", "x", '"', "]", "}", ",", "\\", "\n"]))
    damaged = with_change + text[at + 1 :]
    try:
        expected = decode_json(damaged)
    except WireError:
        with pytest.raises(WireError):
            run(unit.json_steps(damaged))
    else:
        assert run(unit.json_steps(damaged))[0] == expected


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9], "b" 1}', "Expecting ':' delimiter: line 1 column 40"),
        ('{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9], 7}', "Expecting property name"),
        ('["' + "x" * 70 + '", nope]', "Expecting value: line 1 column 76"),
        ('["' + "x" * 70, "Unterminated string starting at: line 1 column 2"),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11", "Expecting ',' delimiter"),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] 5", "Extra data: line 1 column 37"),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, NaN]", "NaN is not allowed"),
        (f"[{'9' * 99}]", "Number too long: line 1 column 2"),
        ("   " * 20, "Expecting value"),
        ("\n" * 30 + '{"a": 1,}', "Expecting property name enclosed in double quotes: line 31"),
    ],
)
def test_json_steps_name_the_error_and_its_place(text: str, message: str) -> None:
    """Lines and columns are those of the whole text."""
    with pytest.raises(WireError, match="body: invalid JSON") as caught:
        run(unit.json_steps(text))
    assert message in str(caught.value)


@pytest.mark.usefixtures("small_steps")
def test_json_steps_name_invalid_bytes() -> None:
    """Bytes that are not UTF-8 are refused, wherever they are."""
    with pytest.raises(WireError, match="invalid UTF-8"):
        run(unit.json_steps(b'["' + b"x" * 90 + b'\xff"]'))


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("n_deep", [unit.MAX_OPEN_DEPTH + 1, 200])
def test_json_steps_limit_depth_of_long_containers(n_deep: int) -> None:
    """Each long container is tried as a part, so their nesting is limited."""
    inner = "[" * n_deep + "1," * 40 + "1" + "]" * n_deep
    with pytest.raises(WireError, match="nested too deeply"):
        run(unit.json_steps(inner))
    assert run(unit.json_steps("[" * 8 + "1," * 40 + "1" + "]" * 8))[0] is not None


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_json_steps_are_short(make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """No step decodes more than one part twice, or more than STEP_ITEMS items."""
    data = make()
    decoded: list[int] = []

    class Counting(json.JSONDecoder):
        """Counts the characters that the C decoder gets."""

        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            try:
                value, end = super().raw_decode(s, idx)
            except json.JSONDecodeError:
                decoded.append(len(s) - idx)
                raise
            decoded.append(end - idx)
            return value, end

    monkeypatch.setattr("json.JSONDecoder", Counting)
    steps = unit.json_steps(data)
    n_steps = 0
    while True:
        decoded.clear()
        try:
            next(steps)
        except (StopIteration, WireError):
            break
        n_steps += 1
        assert sum(decoded) <= 3 * unit.STEP_CHARS
        assert len(decoded) <= unit.STEP_ITEMS + 2
    assert n_steps > len(data) // unit.STEP_BYTES


def test_json_steps_decode_a_large_batch() -> None:
    """10,000 events take many steps and are equal to those decoded at once."""
    data = valid_batch()
    value, n_steps = run(unit.json_steps(data))
    assert value == json.loads(data)
    assert n_steps >= len(data) / unit.STEP_CHARS


@pytest.mark.parametrize("item", ["{}", "[]", "1", '""', "[[]]", '{"a":1}'])
def test_json_steps_limit_values(item: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of values is limited as in ``decode_json``; text in strings does not count."""
    limit = 20_000
    monkeypatch.setattr(unit, "MAX_JSON_VALUES", limit)
    monkeypatch.setattr(unit, "STEP_CHARS", 4_096)
    with pytest.raises(WireError, match="at most 20000 values"):
        run(unit.json_steps("[" + ",".join([item] * (limit + 1)) + "]"))
    n_few = limit // (item.count("[") + item.count("{") + 2) - 1
    assert len(run(unit.json_steps("[" + ",".join([item] * n_few) + "]"))[0]) == n_few
    text = json.dumps([{"result": "1,[{;" * 500}] * 40)
    assert len(run(unit.json_steps(text))[0]) == 40
