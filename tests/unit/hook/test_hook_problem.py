"""What is read of hook inputs that are too long or in another encoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.hook.hook_problem import MAX_NOTE_CHARS, read_note, recover, write_note

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6), st.integers(0, 400), st.booleans())
def test_recover_reads_the_fields_before_the_cut(
    payload: dict[str, Any], cut: int, spaced: bool
) -> None:
    """Each has its whole value, wherever the input ends."""
    text = json.dumps(payload, ensure_ascii=False, indent=1 if spaced else None)
    data = text.encode("utf-8", "replace")[: max(1, cut)]
    fields, problem = recover(data, b"}")
    whole = json.loads(text.encode("utf-8", "replace"))
    assert "only its start was read" in problem
    for name, value in fields.items():
        assert whole[name] == value
    assert set(fields) <= set(whole)


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_recover_raises_only_value_error(data: bytes, tail: bytes) -> None:
    """Inputs can be anything."""
    try:
        fields, _ = recover(data, tail)
    except (ValueError, RecursionError):
        return
    assert isinstance(fields, dict)


@pytest.mark.parametrize(
    ("tail", "call"),
    [
        (b'..."},"tool_use_id":"toolu_1"}', "toolu_1"),
        (b'"tool_use_id": "a", "tool_use_id" : "b"}', "b"),
        (b'...\\"tool_use_id\\":\\"toolu_1\\""}', None),
        (b'"tool_use_id":7}', None),
        (b"", None),
    ],
)
def test_recover_takes_the_id_of_the_call_from_the_end(tail: bytes, call: str | None) -> None:
    """Texts, in which quotes are escaped, contain none."""
    fields, _ = recover(b'{"session_id":"s","tool_name":"Write","tool_input":{"a":', tail or b"}")
    assert fields.get("tool_use_id") == call
    assert recover(b'{"session_id":"s","x":{"a":', tail or b"}")[0] == {"session_id": "s"}


def test_note_is_the_last_one(tmp_path: Path) -> None:
    """It is short, and only its user can read it."""
    path = tmp_path / "data" / "hook-problem.json"
    assert read_note(str(path)) is None
    write_note(str(path), "claude", None, "first")
    write_note(str(path), "codex", "Stop", "x" * 1_000)
    note = read_note(str(path))
    assert note is not None
    assert (note["agent"], note["hook"]) == ("codex", "Stop")
    assert note["message"] == "x" * MAX_NOTE_CHARS
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "now", "message": "x"}', '{"at": 1.0}'])
def test_read_note_ignores_other_files(tmp_path: Path, text: str) -> None:
    """Any program can write there."""
    path = tmp_path / "note.json"
    path.write_text(text)
    assert read_note(str(path)) is None
