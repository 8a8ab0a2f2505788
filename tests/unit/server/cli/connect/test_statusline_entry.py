"""Our status line in the text of settings runs the user's own and gives it back."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.errors import InvalidJson
from htmlgraph_server.cli.connect.statusline_entry import (
    add_statusline,
    program_of,
    remove_statusline,
    run_by,
    statusline_command,
)
from tests.unit.server.cli.connect.test_json_text import layouts, values

commands = st.text(min_size=1).filter(lambda text: bool(text.strip()) and not program_of(text))
settings = st.dictionaries(st.text(max_size=6), values, max_size=3)


@given(settings, layouts, commands, st.sampled_from([{}, {"padding": 0}, {"refreshInterval": 5}]))
def test_add_and_remove_keep_every_other_byte(
    value: dict[str, Any], layout: dict[str, Any], command: str, options: dict[str, Any]
) -> None:
    """Only the command changes; removing writes back the user's own."""
    entry = {"type": "command", "command": command, **options}
    text = json.dumps({**value, "statusLine": entry}, **{**layout, "ensure_ascii": False})
    added = add_statusline(text, "/opt/htmlgraph-statusline")
    whole = json.loads(added)
    ours = whole["statusLine"].pop("command")
    assert whole == {**value, "statusLine": {"type": "command", **options}}
    assert run_by(ours) == (command, False)
    assert remove_statusline(added) == text


@given(settings, layouts)
def test_add_to_settings_without_a_status_line(
    value: dict[str, Any], layout: dict[str, Any]
) -> None:
    """The entry is added at the end, and removed with all its bytes."""
    text = json.dumps(value, **layout)
    added = add_statusline(text, "htmlgraph-statusline")
    entry = {"type": "command", "command": "htmlgraph-statusline"}
    assert json.loads(added) == {**value, "statusLine": entry}
    assert json.loads(remove_statusline(added)) == value


def test_add_runs_an_inherited_command() -> None:
    """In a project, the line of the user's settings goes on; removing does not leave it there."""
    added = add_statusline("{}", "/x/htmlgraph-statusline", "~/my line.sh")
    assert run_by(statusline_command(added) or "") == ("~/my line.sh", True)
    assert json.loads(remove_statusline(added)) == {}
    assert remove_statusline('{"statusLine": {"command": "mine"}}').count("mine") == 1


@pytest.mark.parametrize(
    "program",
    [
        "/opt/bin/htmlgraph-statusline",
        "'/opt/my bin/htmlgraph-statusline'",
        '"C:\\Program Files\\py\\htmlgraph-statusline.exe"',
        "htmlgraph-statusline",
    ],
)
def test_program_of_recognizes_our_program(program: str) -> None:
    """With and without arguments; another command that names it is the user's own."""
    assert program_of(program) == program
    assert program_of(f"{program} --run {shlex.quote('a b')}") == program
    assert program_of(f"cat | {program}") == ""
    assert run_by("cat | jq .") == ("cat | jq .", False)


@pytest.mark.parametrize("text", ["[]", '{"statusLine": 7}', '{"statusLine": {"type": "command"}}'])
def test_add_refuses_another_form(text: str) -> None:
    """The error names the line and what is expected there."""
    with pytest.raises(InvalidJson, match="line 1"):
        add_statusline(text, "htmlgraph-statusline")
