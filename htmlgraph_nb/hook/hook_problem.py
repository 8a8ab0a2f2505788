"""Hook inputs that cannot be read as they are, and the note about the last one; imports little.

The hook prints nothing, because agents show or even act on what it prints. So it keeps a note in
the data folder, which ``htmlgraph-nb doctor`` shows.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from ..paths import write_private_json

MAX_NOTE_CHARS = 300
TAIL_BYTES = 4 << 10
"""Bytes of the end of an input that was cut that are kept."""
_CALL_ID = re.compile(rb'(?<!\\)"tool_use_id"\s*:\s*"([\w.:-]{1,128})"')
_SPACE = re.compile(r"\s*")
_COLON = re.compile(r"\s*:\s*")
_COMMA = re.compile(r"\s*,\s*")


def recover(data: bytes, tail: bytes) -> tuple[dict[str, Any], str]:
    """Return what can be read of an input that is no UTF-8 or was cut, and what is wrong with it.

    Bytes that are no UTF-8 are replaced. Of an input that was cut these are the fields before the
    one that is too long, and the id of the tool call after it.

    Args:
        data: the input, or its start.
        tail: the end of an input that was cut; b"": it was not cut.

    Raises:
        ValueError: nothing can be read.
    """
    text = data.decode("utf-8", "replace")
    if not tail:
        payload = json.loads(text)
        if not isinstance(payload, dict):
            raise ValueError("input: expected a JSON object")
        return payload, "an input was not UTF-8, so some characters were replaced"
    fields = _leading_fields(text)
    calls = _CALL_ID.findall(tail)
    if calls and "tool_name" in fields:
        fields.setdefault("tool_use_id", calls[-1].decode())
    return fields, f"an input was longer than {len(data) >> 20} MiB, so only its start was read"


def _leading_fields(text: str) -> dict[str, Any]:
    """Return the members of a JSON object up to the first that is not complete."""
    decoder = json.JSONDecoder()
    fields: dict[str, Any] = {}
    at = _end(_SPACE, text, 0)
    if not text.startswith("{", at):
        raise ValueError("input: expected a JSON object")
    at += 1
    try:
        while True:
            name, at = decoder.raw_decode(text, _end(_SPACE, text, at))
            value, at = decoder.raw_decode(text, _end(_COLON, text, at))
            if at == len(text):
                # A number can go on after the cut.
                return fields
            at = _end(_COMMA, text, at)
            if isinstance(name, str):
                fields[name] = value
    except (ValueError, RecursionError):
        return fields


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    if match is None:
        raise ValueError("input: expected a JSON object")
    return match.end()


def write_note(path: str, agent: str, hook: object, message: str) -> None:
    """Replace the note about the last problem.

    Args:
        path: the file, as ``paths.hook_problem_file`` returns it.
        agent: name of the coding agent.
        hook: name of its hook; anything else than a string is left out.
        message: what is wrong, without parts of the input.

    Raises:
        OSError: the file cannot be written.
    """
    note = {"at": time.time(), "agent": agent, "message": message[:MAX_NOTE_CHARS]}
    if isinstance(hook, str):
        note["hook"] = hook[:64]
    write_private_json(path, note)


def read_note(path: str) -> dict[str, Any] | None:
    """Return the last note (at, agent, message and perhaps hook); None: there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            note = json.loads(file.read(16 << 10))
    except (OSError, ValueError):
        return None
    is_note = isinstance(note, dict) and isinstance(note.get("at"), float)
    return note if is_note and isinstance(note.get("message"), str) else None
