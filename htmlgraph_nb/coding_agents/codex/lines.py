"""What single lines of Codex's session files tell; see codex_session.py."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ...core.timestamps import to_micros
from ..fields import count, identifier, mapping, string
from ..session import type_finder

_EXIT = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d{1,9})$", re.M)
_HEAD_CHARS = 400
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)

may_tell = type_finder(
    (
        *("session_meta", "turn_context", "compacted", "token_count", "token_usage_record"),
        *("user_message", "item_completed", "task_started", "task_complete", "turn_aborted"),
        *("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        *("local_shell_call", "web_search_call", "error"),
    )
)
"""Return whether a line can be of a kind that tells something; see ``type_finder``."""
CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
SHELL = "Bash"
"""What hooks call each tool that runs a command (https://developers.openai.com/codex/hooks)."""
_SHELLS = frozenset(
    "exec_command shell shell_command local_shell local_shell_call container.exec".split()
)
_SERVER = "mcp__"
"""Begins the namespaces of tools of servers."""
BURST = timedelta(seconds=1)
"""A copied history is written in one go; the forked session's own first turn follows a pause."""

Record = Mapping[str, Any]
Usage = tuple[int, int, int, int, int]
"""Input, cached input, cache write, output and reasoning tokens."""


def tool_name(name: str | None, namespace: object = None) -> str | None:
    """Return a tool's name as hooks have it: ``Bash``, ``mcp__server__tool``, or its own.

    Session files and telemetry name the tool as it was offered to the model, those of a server
    beside their namespace (seen with 0.171).
    """
    if name is not None and isinstance(namespace, str) and namespace.startswith(_SERVER):
        return string(f"{namespace}__{name}")
    return SHELL if name in _SHELLS else name


def spawned_by(payload: Record) -> str | None:
    """Return the id of the session whose subagent a session is."""
    subagent = mapping(mapping(payload.get("source")).get("subagent"))
    spawn = mapping(subagent.get("thread_spawn"))
    return identifier(spawn.get("parent_thread_id")) or identifier(payload.get("parent_thread_id"))


def own_from(payload: Record) -> int | None:
    """Return the ordinal of the first line that is a forked session's own; None if not told."""
    told = count(payload.get("subagent_history_start_ordinal"))
    if told is not None:
        return told
    return count(mapping(payload.get("history_base")).get("end_ordinal_exclusive"))


def begun_before(payload: Record, moment_of_fork: datetime) -> bool | None:
    """Return whether the turn that a line names was begun earlier; None if it names none."""
    turn = payload.get("turn_id")
    found = _UUID7.fullmatch(turn) if isinstance(turn, str) else None
    if found is not None:
        # The first 48 bits of a UUID of version 7 are milliseconds since 1970 (RFC 9562).
        return int(found[1] + found[2], 16) * 1000 < to_micros(moment_of_fork)
    begun = count(payload.get("started_at"))
    return None if begun is None else begun < to_micros(moment_of_fork) // 1_000_000


def usage_of(value: object) -> Usage | None:
    """Return the counts of a usage object; None if it is none."""
    if not isinstance(value, Mapping):
        return None
    cached = value.get("cached_input_tokens", value.get("cache_read_input_tokens"))
    written = value.get("cache_write_input_tokens", value.get("cache_creation_input_tokens"))
    return (
        count(value.get("input_tokens")) or 0,
        count(cached) or 0,
        count(written) or 0,
        count(value.get("output_tokens")) or 0,
        count(value.get("reasoning_output_tokens")) or 0,
    )


def growth(total: Usage, before: Usage | None) -> Usage:
    """Return by how much a total has grown, nothing where it has become less."""
    a, b, c, d, e = total
    v, w, x, y, z = before or (0, 0, 0, 0, 0)
    return max(0, a - v), max(0, b - w), max(0, c - x), max(0, d - y), max(0, e - z)


def failed(output: object) -> bool:
    """Whether the output of a tool tells of an exit status other than 0 or of no success."""
    if isinstance(output, Mapping):
        return output.get("success") is False
    if not isinstance(output, str):
        return False
    if output.startswith("{"):
        try:
            told = mapping(mapping(json.loads(output)).get("metadata")).get("exit_code")
        except (ValueError, RecursionError):
            return False
        return isinstance(told, int) and told != 0
    # What the tool itself printed follows; the status stands at the head.
    found = _EXIT.search(output[:_HEAD_CHARS].partition("\nOutput:")[0])
    return found is not None and int(found[1]) != 0
