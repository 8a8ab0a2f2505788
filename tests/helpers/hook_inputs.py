"""Hook inputs of Codex and Gemini CLI for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from htmlgraph_nb.coding_agents.codex import hooks as codex
from htmlgraph_nb.coding_agents.gemini import hooks as gemini
from htmlgraph_nb.core.model import Event

NOW = datetime(2025, 1, 14, 14, 50, tzinfo=UTC)


CODEX_SESSION = "0199f0b2-6a35-7e21-9d3a-5d0c6c1f4a10"


GEMINI_SESSION = "7c1de1aa-2f60-4b8c-b1e3-0a4d5e6f7a8b"


def from_codex(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook of Codex with the fields that all its hooks have."""
    common = {
        "session_id": CODEX_SESSION,
        "turn_id": "t-1",
        "transcript_path": None,
        "cwd": "/srv/shop",
        "model": "gpt-5-codex",
        "permission_mode": "default",
    }
    payload = {**common, "hook_event_name": hook, **fields}
    return codex.events_from_hook(payload, received_at=NOW)


def from_gemini(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook of Gemini CLI with the fields that all its hooks have."""
    common = {
        "session_id": GEMINI_SESSION,
        "transcript_path": "/srv/chat.json",
        "cwd": "/srv/shop",
        "timestamp": "2025-01-14T14:50:30.123Z",
    }
    payload = {**common, "hook_event_name": hook, **fields}
    return gemini.events_from_hook(payload, received_at=NOW)
