"""The status line of htmlgraph-nb in the text of Claude Code's settings. Pure functions.

Claude Code has one: ``{"statusLine": {"type": "command", "command": …, "padding": …}}``. Ours runs
the command that was there and prints its output, so only ``command`` changes. Source:
https://code.claude.com/docs/en/statusline.
"""

from __future__ import annotations

import json
import re
import shlex

from htmlgraph_nb.errors import InvalidJson
from htmlgraph_nb.hook.statusline import RUN, RUN_INHERITED

from .json_text import JsonLayout, JsonNode, append_item, parse_json, remove_item, replace_value

_KEY = "statusLine"
_PROGRAM = re.compile(
    r"""^\s*(?P<program>"[^"]*htmlgraph-statusline(?:\.exe)?"|'[^']*htmlgraph-statusline'"""
    r"""|[^\s"']*htmlgraph-statusline(?:\.exe)?)(?:\s+(?P<rest>.*))?$""",
    re.S,
)


def statusline_command(text: str) -> str | None:
    """Return the command of the status line in the settings; None if there is none.

    Raises:
        InvalidJson: the text is not JSON, or its status line is no command.
    """
    if not text.strip():
        return None
    command = _command(parse_json(text), text)
    return None if command is None else str(command.value)


def program_of(command: str) -> str:
    """Return the program of a command that runs htmlgraph-statusline; "" for any other."""
    match = _PROGRAM.match(command)
    return match["program"] if match else ""


def run_by(command: str) -> tuple[str, bool]:
    """Return the user's own command in that of a status line, and whether it is inherited.

    Args:
        command: of any status line; one that does not run htmlgraph-statusline is the user's own.
    """
    match = _PROGRAM.match(command)
    if match is None:
        return command, False
    try:
        words = shlex.split(match["rest"] or "")
    except ValueError:
        return "", False
    if len(words) == 2 and words[0] in (RUN, RUN_INHERITED):
        return words[1], words[0] == RUN_INHERITED
    return "", False


def add_statusline(text: str, program: str, inherited: str = "") -> str:
    """Return the settings with our status line, which runs the one that they have.

    Args:
        text: settings without our status line.
        program: the shell command of htmlgraph-statusline.
        inherited: the command to run if these settings have no status line: that of the user's
            settings, which those of a project would replace; "" for none.

    Raises:
        InvalidJson: as ``statusline_command``.
    """
    command = f"{program} {RUN_INHERITED} {shlex.quote(inherited)}" if inherited else program
    entry = {"type": "command", "command": command}
    if not text.strip():
        return json.dumps({_KEY: entry}, indent=2) + "\n"
    root = parse_json(text)
    existing = _command(root, text)
    if existing is None:
        return append_item(text, root, entry, 1, JsonLayout.of(text), _KEY)
    if not existing.value.strip():
        return replace_value(text, existing, program)
    return replace_value(text, existing, f"{program} {RUN} {shlex.quote(existing.value)}")


def remove_statusline(text: str) -> str:
    """Return the settings with the user's own command in place of ours, or without a status line.

    Raises:
        InvalidJson: as ``statusline_command``.
    """
    root = parse_json(text)
    command = _command(root, text)
    if command is None or not program_of(command.value):
        return text
    own, is_inherited = run_by(command.value)
    if own and not is_inherited:
        return replace_value(text, command, own)
    index = root.index(_KEY)
    assert index is not None
    return remove_item(text, root, index)


def _command(root: JsonNode, text: str) -> JsonNode | None:
    if root.keys is None:
        raise InvalidJson(text, root.start, "an object { … }")
    entry = root.get(_KEY)
    if entry is None:
        return None
    command = entry.get("command")
    if command is None or not isinstance(command.value, str):
        raise InvalidJson(text, entry.start, f'an object with a "command" as "{_KEY}"')
    return command
