"""Session files of all agents, line by line, and the files beside them."""

from __future__ import annotations

import json
from typing import Any

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.session import feed_parts
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.fuzz.oracle import check_events, check_roster, require
from tests.fuzz.targets import split_variant

_FOLDER = "/nonexistent"
_PATHS = {
    "claude": f"{_FOLDER}/projects/-p/628b7db0-4235-4228-a40a-dc671413a8c8.jsonl",
    "claude-subagent": f"{_FOLDER}/projects/-p/s/subagents/agent-aaa1.jsonl",
    "codex": f"{_FOLDER}/sessions/2026/09/01/rollout-2026-09-01T10-00-00-01990000.jsonl",
    "copilot": f"{_FOLDER}/session-state/s/events.jsonl",
    "gemini": f"{_FOLDER}/tmp/proj/chats/session-2026-09-01T10-00-5f0c3a7e.jsonl",
    "gemini-document": f"{_FOLDER}/tmp/proj/chats/session-2026-09-01T10-00-5f0c3a7e.json",
    "gemini-subagent": f"{_FOLDER}/tmp/proj/chats/parent/session-2026-09-01T10-00.jsonl",
    "kiro": f"{_FOLDER}/sessions/cli/s.jsonl",
    "kiro-workspace": f"{_FOLDER}/sessions/w/s/messages.jsonl",
    "kiro-child": f"{_FOLDER}/sessions/w/s/sub-executions/c.jsonl",
    "pi": f"{_FOLDER}/.pi/agent/sessions/p/2026-11-30T18-42-08-675Z_01a22dc3.jsonl",
    "qwen": f"{_FOLDER}/projects/-p/chats/004af7b8-fe47-4d2e-a4cb-66210aa67b21.jsonl",
    "qwen-subagent": f"{_FOLDER}/projects/-p/subagents/s/agent-general-purpose-call_8.jsonl",
    "vibe": f"{_FOLDER}/logs/session/session_20260901_100000_abcdef12/messages.jsonl",
    "vibe-subagent": f"{_FOLDER}/logs/session/s/agents/agent_x_abcdef12/messages.jsonl",
}
_BESIDE = b"\n--- beside ---\n"
"""Separates the session file from a file beside it."""


def run(data: bytes) -> None:
    """Read a file twice, in other parts, and check its events."""
    variant, body = split_variant(data, tuple(_PATHS))
    events = _read(variant, body, n_lines=1)
    again = _read(variant, body, n_lines=1)
    require(_names(events) == _names(again), "reading a file twice gives other events")
    check_events(events, len(body))
    check_roster([event.checked() for event in events])
    check_events(_read(variant, body, n_lines=3), len(body))


def _read(variant: str, body: bytes, n_lines: int) -> list[Event]:
    """Return the events of a file.

    Args:
        n_lines: number of lines after which the file is silent for a while.
    """
    agent = AGENTS[variant.partition("-")[0]]
    reader: Any = agent.session_reader(_PATHS[variant])
    content, separator, beside = body.partition(_BESIDE)
    is_document = _PATHS[variant].endswith(".json")
    lines = [content] if is_document else content.split(b"\n")
    events: list[Event] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            events += reader.feed(line.strip())
        except InvalidEvent:
            require(not _is_object(line), "a JSON object is rejected; skip what is invalid")
            events += feed_parts(reader, line.strip())[0]
        if number % n_lines == 0:
            events += reader.on_quiet(0.0)
            events += reader.on_quiet(20.0)
    if separator and agent.sidecars(_PATHS[variant]):
        # It is read again after each change, and may be half written.
        for part in (beside[: len(beside) // 2], beside):
            events += reader.feed_sidecar("beside", part)
    return [*events, *reader.on_quiet(1e9), *reader.finish(), *reader.finish()]


def _names(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(each.event_id, each.event_type, each.timestamp, each.agent_id) for each in events]


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
