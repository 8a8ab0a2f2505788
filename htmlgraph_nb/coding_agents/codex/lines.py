"""Single lines of Codex's session files; see ``session``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ...core.timestamps import to_micros
from ..failures import kind_of_status
from ..fields import count, identifier, label, mapping, safe_keyword, string
from ..session import type_matcher
from .constants import CANNOT_WORK

_EXIT_STATUS = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d{1,9})$", re.M)
_HEAD_CHARS = 400
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)

may_have_events = type_matcher(
    (
        *("session_meta", "turn_context", "compacted", "token_count", "token_usage_record"),
        *("user_message", "item_completed", "task_started", "task_complete", "turn_aborted"),
        *("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        *("local_shell_call", "web_search_call", "error", "thread_name_updated"),
        "thread_settings_applied",
    )
)
"""Return whether a line can have a type that is read; see ``type_matcher``."""
CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
_INSIDE_TURN = CALLS | OUTPUTS | {"token_count", "token_usage_record", "compacted"}
_INSIDE_TURN |= {"task_complete", "turn_aborted", "web_search_call"}
SHELL = "Bash"
"""Name that hooks give every tool that runs a command (https://developers.openai.com/codex/hooks)."""
_SHELLS = frozenset(
    "exec_command shell shell_command local_shell local_shell_call container.exec".split()
)
_NO_FAILURES = frozenset({"thread_rollback_failed", "active_turn_not_steerable"})
_SERVER_PREFIX = "mcp__"
"""Prefix of the namespaces of tools of MCP servers."""
_BURST, _PAUSE = timedelta(seconds=1), timedelta(seconds=10)

Record = Mapping[str, Any]
"""JSON object of a line, or its payload."""
Usage = tuple[int, int, int, int, int]
"""Input, cached input, cache write, output and reasoning tokens."""


def tool_name(name: str | None, namespace: object = None) -> str | None:
    """Return the name of a tool in hooks: ``Bash``, ``mcp__server__tool``, or its own.

    Session files and telemetry have the name that the model sees; tools of MCP servers have a
    namespace besides (seen in 0.171).
    """
    if name is not None and isinstance(namespace, str) and namespace.startswith(_SERVER_PREFIX):
        return string(f"{namespace}__{name}")
    return SHELL if name in _SHELLS else name


def parent_session(payload: Record) -> str | None:
    """Return the id of the parent's session if a session is a subagent's."""
    subagent = mapping(mapping(payload.get("source")).get("subagent"))
    spawn = mapping(subagent.get("thread_spawn"))
    return identifier(spawn.get("parent_thread_id")) or identifier(payload.get("parent_thread_id"))


def subagent_name(payload: Record) -> str | None:
    """Return what Codex calls a subagent: its nickname and role; None if it has neither."""
    spawn = mapping(mapping(mapping(payload.get("source")).get("subagent")).get("thread_spawn"))
    nickname, role = (
        label(spawn.get(name)) or label(payload.get(name))
        for name in ("agent_nickname", "agent_role")
    )
    return label(f"{nickname} [{role}]") if nickname and role else nickname or role


def error_kind(info: object) -> tuple[str | None, str | None]:
    """Return the keyword of a ``codex_error_info``, and why the agent cannot work.

    It is a name, or an object whose only key is the name and which can hold an HTTP status.
    """
    if isinstance(info, Mapping):
        name = safe_keyword(next(iter(info), None))
        status = kind_of_status(count(mapping(info.get(name)).get("http_status_code")))
        return name, status or CANNOT_WORK.get(name or "")
    name = safe_keyword(info)
    return name, CANNOT_WORK.get(name or "")


def ends_turn(error: str | None) -> bool:
    """Return whether an error with this keyword ends the turn, as Codex itself decides it."""
    return error not in _NO_FAILURES


def first_own_ordinal(payload: Record) -> int | None:
    """Return the ordinal of the first line that a forked session did not copy; None if unknown."""
    ordinal = count(payload.get("subagent_history_start_ordinal"))
    if ordinal is not None:
        return ordinal
    return count(mapping(payload.get("history_base")).get("end_ordinal_exclusive"))


def started_before(payload: Record, forked_at: datetime) -> bool | None:
    """Return whether the turn that a line names started before a fork; None if it names none."""
    turn = payload.get("turn_id")
    match = _UUID7.fullmatch(turn) if isinstance(turn, str) else None
    if match is not None:
        # The first 48 bits of a UUID of version 7 are milliseconds since 1970 (RFC 9562).
        return int(match[1] + match[2], 16) * 1000 < to_micros(forked_at)
    started_at = count(payload.get("started_at"))
    return None if started_at is None else started_at < to_micros(forked_at) // 1_000_000


def pause_before(record: Record) -> timedelta:
    """Return the longest time between a line of a copied history and the one before it.

    It is short for a line that can be the first of the session's own, which starts a turn.
    """
    payload = mapping(record.get("payload"))
    kind = payload.get("type")
    inside = kind in _INSIDE_TURN or record.get("type") in _INSIDE_TURN
    if kind == "item_completed":
        inside = mapping(payload.get("item")).get("type") != "UserMessage"
    return _PAUSE if inside else _BURST


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
    """Return by how much a total has grown; 0 for counts that have decreased."""
    a, b, c, d, e = total
    v, w, x, y, z = before or (0, 0, 0, 0, 0)
    return max(0, a - v), max(0, b - w), max(0, c - x), max(0, d - y), max(0, e - z)


def has_failed(output: object) -> bool:
    """Return whether the output of a tool reports an exit status other than 0 or a failure."""
    if isinstance(output, Mapping):
        return output.get("success") is False
    if not isinstance(output, str):
        return False
    if output.startswith("{"):
        try:
            status = mapping(mapping(json.loads(output)).get("metadata")).get("exit_code")
        except (ValueError, RecursionError):
            return False
        return isinstance(status, int) and status != 0
    # The status precedes the output of the command itself.
    match = _EXIT_STATUS.search(output[:_HEAD_CHARS].partition("\nOutput:")[0])
    return match is not None and int(match[1]) != 0
