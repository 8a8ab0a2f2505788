"""What the start of a part says about it, for parts that are too large to be read, pure.

OpenCode writes the keys of a tool call in the order type, tool, callID, state.status, state.input.
"""

from __future__ import annotations

import re

from ..databases.session_database import Row

_COLUMNS = (
    *("type", "tool", "call", "status", "start", "end", "exit", "child", "intended", "input"),
    *("error_text", "tail", "attempt", "error_status"),
)
_FLAGS = ("interrupted", "background", "remote", "auto")
_FIELDS = {"type": "type", "tool": "tool", "callID": "call", "status": "status"}
_FIELD = re.compile(r'"(type|tool|callID|status)"\s*:\s*"([^"\\]{1,256})"')
_CONTENT = re.compile(r'"(?:input|output|raw|text|url)"\s*:')
"""Keys whose values are content."""


def part_of_head(head: str) -> Row:
    """Return the columns of a part; those that its start does not contain are None or False."""
    row: Row = {**dict.fromkeys(_COLUMNS), **dict.fromkeys(_FLAGS, False)}
    content = _CONTENT.search(head)
    for match in _FIELD.finditer(head[: content.start()] if content else head):
        column = _FIELDS[match[1]]
        row[column] = row[column] or match[2]
    return row
