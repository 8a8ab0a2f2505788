"""Edits of settings: what is ours comes and goes, every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import InvalidJson
from htmlgraph_server.cli.connect.agents import groups_of
from htmlgraph_server.cli.connect.hook_entries import add, connected, drop, is_ours
from htmlgraph_server.cli.connect.json_text import parse

CLAUDE = groups_of(AGENTS["claude"], "/opt/bin/htmlgraph-hook", None)
OTHER = {"type": "command", "command": "~/bin/notify.sh"}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=9,
)
groups = st.lists(st.just({"matcher": "Bash", "hooks": [OTHER]}), max_size=2)
settings = st.dictionaries(st.text(max_size=6), values, max_size=4).flatmap(
    lambda base: st.fixed_dictionaries(
        {},
        optional={
            "hooks": st.dictionaries(st.sampled_from(["Stop", "PreToolUse", "Mine"]), groups)
        },
    ).map(lambda hooks: {**base, **hooks})
)
layouts = st.sampled_from([{}, {"indent": 2}, {"indent": 4}, {"indent": "\t"}])


@given(values, layouts)
def test_parse_reads_what_json_reads(value: Any, layout: dict[str, Any]) -> None:
    """The value is json.loads', and each item stands where it says."""
    text = json.dumps(value, **layout)
    node = parse(f" {text}\n")
    assert node.value == json.loads(text)
    assert json.loads(f" {text}\n"[node.start : node.end]) == node.value


@given(st.text(max_size=40) | st.text('{}[],:"/*\\ntfaluse01-.eE ', max_size=30))
def test_parse_agrees_with_json_on_any_text(text: str) -> None:
    """Without comments, a text is refused exactly where json.loads refuses it."""
    try:
        expected = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        expected = InvalidJson
    try:
        found: Any = parse(text).value
    except InvalidJson:
        found = InvalidJson
    if "/*" not in text and "//" not in text:
        assert found == expected


def _refuse(_: str) -> None:
    raise ValueError


@given(settings, layouts, st.sampled_from(["\n", "\r\n"]))
def test_ours_come_and_go(value: dict[str, Any], layout: dict[str, Any], newline: str) -> None:
    """After adding, the settings hold theirs and ours; after dropping, theirs again."""
    text = json.dumps(value, ensure_ascii=False, **layout).replace("\n", newline)
    more = add(text, CLAUDE)
    assert connected(more) == CLAUDE
    hooks = json.loads(more)["hooks"]
    for event, known in value.get("hooks", {}).items():
        assert hooks[event][: len(known)] == known
    theirs = {key: item for key, item in json.loads(more).items() if key != "hooks"}
    assert theirs == {key: item for key, item in value.items() if key != "hooks"}
    less = json.loads(drop(more))
    emptied = {event: known for event, known in value.get("hooks", {}).items() if known}
    assert {event: left for event, left in less.get("hooks", {}).items() if left} == emptied
    less.pop("hooks", None)
    assert less == theirs


@given(settings, layouts)
def test_bytes_that_are_not_ours_stay(value: dict[str, Any], layout: dict[str, Any]) -> None:
    """Where the settings had hooks of other events only, dropping restores each byte."""
    value["hooks"] = {"Mine": [{"hooks": [OTHER]}]}
    text = json.dumps(value, **layout)
    assert drop(add(text, CLAUDE)) == text


def test_comments_and_layout_stay() -> None:
    """A person's comments and indentation are kept, and ours follow them."""
    text = '{\n    // mine\n    "model": "m", /* why */\n    "hooks": {}\n}\n'
    more = add(text, {"Stop": {"hooks": [OTHER]}})
    assert more.startswith(text[: text.index("{}")] + '{\n        "Stop"')
    assert parse(more).value["hooks"]["Stop"] == [{"hooks": [OTHER]}]


def test_a_handler_among_others_is_taken_alone() -> None:
    """Somebody put ours beside his own: his stays, in its group."""
    ours = CLAUDE["Stop"]["hooks"][0]
    text = json.dumps({"hooks": {"Stop": [{"matcher": "x", "hooks": [OTHER, ours, OTHER]}]}})
    assert json.loads(drop(text)) == {
        "hooks": {"Stop": [{"matcher": "x", "hooks": [OTHER, OTHER]}]}
    }


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ({"command": "htmlgraph-hook"}, True),
        ({"command": "/opt/my env/bin/htmlgraph-hook codex"}, True),
        ({"command": "'/opt/my env/bin/htmlgraph-hook'"}, True),
        ({"command": '"C:\\\\env\\\\htmlgraph-hook.exe" gemini'}, True),
        ({"type": "http", "url": "http://127.0.0.1:8000/api/hooks/claude"}, True),
        ({"command": "my-htmlgraph-hook"}, False),
        ({"command": "htmlgraph-hooks"}, False),
        ({"command": "echo htmlgraph"}, False),
        ({"url": "http://127.0.0.1:8000/api/events"}, False),
        ({"command": 3}, False),
        ("htmlgraph-hook", False),
    ],
)
def test_ours_are_told_from_others(handler: object, expected: bool) -> None:
    """By the command's own name, or by our route."""
    assert is_ours(handler) is expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  "a": 1,\n}', "line 3, column 1"),
        ('{"a": 1', "line 1, column 8"),
        ('{\n"a" 1}', "line 2, column 5"),
        ('{\n\n"a": nul}', "line 3, column 6"),
        ('{"a": "x\n"}', "line 1, column 9"),
        ("[1]", "line 1, column 1"),
        ('{"hooks": []}', "line 1, column 11"),
        ('{\n"hooks": {"Stop": [1]}}', "line 2, column 20"),
        ('{\n"hooks": {"Stop": {}}}', "line 2, column 19"),
        ("{} x", "line 1, column 4"),
    ],
)
def test_what_cannot_be_edited_is_refused_by_its_place(text: str, place: str) -> None:
    """The line and column of the fault are named."""
    with pytest.raises(InvalidJson, match=f"^{place}: "):
        add(text, CLAUDE)


def test_depth_is_bounded() -> None:
    """A text made to exhaust the stack is refused."""
    with pytest.raises(InvalidJson, match="at most 100 levels"):
        parse("[" * 5_000)
