"""Adding and removing the hooks of htmlgraph-nb in the text of settings keeps every other byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import InvalidJson
from htmlgraph_server.cli.connect.agent_hooks import hook_groups
from htmlgraph_server.cli.connect.hook_entries import (
    add_groups,
    htmlgraph_groups,
    is_htmlgraph_handler,
    remove_htmlgraph_handlers,
)
from htmlgraph_server.cli.connect.json_text import parse_json
from tests.unit.server.cli.connect.test_json_text import layouts, values

CLAUDE = hook_groups(AGENTS["claude"], "/opt/bin/htmlgraph-hook", None)
OTHER = {"type": "command", "command": "~/bin/notify.sh"}

groups = st.lists(st.just({"matcher": "Bash", "hooks": [OTHER]}), max_size=2)
names = st.text(max_size=6).filter(lambda name: name != "hooks")
settings = st.dictionaries(names, values, max_size=4).flatmap(
    lambda base: st.fixed_dictionaries(
        {},
        optional={
            "hooks": st.dictionaries(st.sampled_from(["Stop", "PreToolUse", "Mine"]), groups)
        },
    ).map(lambda hooks: {**base, **hooks})
)


@given(settings, layouts, st.sampled_from(["\n", "\r\n"]))
def test_add_and_remove_keep_the_other_settings(
    value: dict[str, Any], layout: dict[str, Any], newline: str
) -> None:
    """Adding keeps the user's settings; removing restores them."""
    text = json.dumps(value, ensure_ascii=False, **layout).replace("\n", newline)
    more = add_groups(text, CLAUDE)
    assert htmlgraph_groups(more) == CLAUDE
    hooks = json.loads(more)["hooks"]
    for event, known in value.get("hooks", {}).items():
        assert hooks[event][: len(known)] == known
    theirs = {key: item for key, item in json.loads(more).items() if key != "hooks"}
    assert theirs == {key: item for key, item in value.items() if key != "hooks"}
    less = json.loads(remove_htmlgraph_handlers(more))
    emptied = {event: known for event, known in value.get("hooks", {}).items() if known}
    assert {event: left for event, left in less.get("hooks", {}).items() if left} == emptied
    less.pop("hooks", None)
    assert less == theirs


@given(settings, layouts)
def test_remove_htmlgraph_handlers_restores_every_byte(
    value: dict[str, Any], layout: dict[str, Any]
) -> None:
    """Here the user has hooks for other events only."""
    value["hooks"] = {"Mine": [{"hooks": [OTHER]}]}
    text = json.dumps(value, **layout)
    assert remove_htmlgraph_handlers(add_groups(text, CLAUDE)) == text


def test_add_groups_keeps_comments_and_layout() -> None:
    """The new entries use the indentation of the file."""
    text = '{\n    // mine\n    "model": "m", /* why */\n    "hooks": {}\n}\n'
    more = add_groups(text, {"Stop": {"hooks": [OTHER]}})
    assert more.startswith(text[: text.index("{}")] + '{\n        "Stop"')
    assert parse_json(more).value["hooks"]["Stop"] == [{"hooks": [OTHER]}]


def test_remove_htmlgraph_handlers_keeps_other_handlers_of_the_group() -> None:
    """The user has moved the handler of htmlgraph-nb into a group of their own."""
    own_handler = CLAUDE["Stop"]["hooks"][0]
    text = json.dumps({"hooks": {"Stop": [{"matcher": "x", "hooks": [OTHER, own_handler, OTHER]}]}})
    assert json.loads(remove_htmlgraph_handlers(text)) == {
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
def test_is_htmlgraph_handler(handler: object, expected: bool) -> None:
    """Handlers of htmlgraph-nb have its command name or its route."""
    assert is_htmlgraph_handler(handler) is expected


@pytest.mark.parametrize(
    ("text", "position"),
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
def test_add_groups_reports_the_position_of_an_error(text: str, position: str) -> None:
    """The message names line and column."""
    with pytest.raises(InvalidJson, match=f"^{position}: "):
        add_groups(text, CLAUDE)


FLAT = {"stop": {"command": "/opt/htmlgraph-hook kiro agent-config"}}


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "shop", "tools": ["*"]}\n',
        '{\n  "name": "shop",\n  "hooks": {"stop": [{"command": "make"}], "agentSpawn": []}\n}\n',
    ],
)
def test_add_groups_and_remove_them_in_the_flat_form(text: str) -> None:
    """The entries are in the list of the hook itself, and everything else stays."""
    added = add_groups(text, FLAT)
    assert json.loads(added)["hooks"]["stop"][-1] == FLAT["stop"]
    assert htmlgraph_groups(added) == FLAT
    assert remove_htmlgraph_handlers(added) == text
