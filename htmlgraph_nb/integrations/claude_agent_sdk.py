"""Hooks and a message reader for the Claude Agent SDK.

Written for ``HookEvent``, ``HookMatcher`` and the messages of claude-agent-sdk 0.2, whose hook
inputs are Claude Code's. It reports names, ids, durations and counts, and no prompts, completions,
tool inputs or results. The title of a session, which a model may have written from the prompts, is
reported to servers on this machine; HTMLGRAPH_TITLES=on reports it to any server.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ..coding_agents.claude.constants import AGENT
from ..coding_agents.claude.hooks import events_from_hook
from ..coding_agents.input_key import hash_input
from ..errors import ConfigError
from ..sdk import SDK
from .claude_messages import SDK_SOURCE, MessageReader
from .default_sdk import default_sdk
from .guard import never_raises

if TYPE_CHECKING:
    from claude_agent_sdk import HookMatcher
    from claude_agent_sdk.types import HookEvent

__all__ = ["htmlgraph_hooks", "htmlgraph_messages"]

_DEFAULT_NAME = "claude-agent-sdk"
_Message = TypeVar("_Message")


def htmlgraph_hooks(
    agent_id: str | None = None,
    *,
    sdk: SDK | None = None,
    hooks: Mapping[HookEvent, list[HookMatcher]] | None = None,
) -> dict[HookEvent, list[HookMatcher]]:
    """Return hooks that report tools, prompts, subagents, permissions and ends of turns.

    They make no decisions and return at once. They are not needed if the SDK loads user settings
    (``setting_sources``) to which ``htmlgraph-nb connect claude`` has added its hooks: those report
    the same.

    Args:
        agent_id: id of the main agent; None: the id of Claude Code's sessions.
        sdk: the handle through which to report; None: the active one, else a handle of its own.
        hooks: your own hooks, which run before these.

    Raises:
        ImportError: the Claude Agent SDK is not installed.

    Example:
        >>> options = ClaudeAgentOptions(hooks=htmlgraph_hooks("researcher"))  # doctest: +SKIP
    """
    try:
        from claude_agent_sdk import HookMatcher
    except ImportError as error:
        raise ImportError(
            f"the hooks need the Claude Agent SDK, which cannot be imported ({error}): "
            "pip install claude-agent-sdk",
            name=error.name,
        ) from None
    reporter = sdk or default_sdk(_DEFAULT_NAME)

    async def report(hook_input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        _report_hook(reporter, agent_id, hook_input)
        return {}

    merged: dict[HookEvent, list[HookMatcher]] = {
        event: [HookMatcher(hooks=[report])]  # type: ignore[list-item]
        for event in _hook_events()
    }
    for event, matchers in (hooks or {}).items():
        merged[event] = [*matchers, *merged.get(event, [])]
    return merged


async def htmlgraph_messages(
    messages: AsyncIterable[_Message], agent_id: str | None = None, *, sdk: SDK | None = None
) -> AsyncIterator[_Message]:
    """Yield the messages unchanged and report the completions among them with their tokens.

    It also reports the start of a session, failed turns and, for ``query()``, the end of a session.

    Args:
        messages: the result of ``query()``, or of a client's ``receive_response()`` or
            ``receive_messages()``.
        agent_id, sdk: see ``htmlgraph_hooks``.

    Example:
        >>> async for message in htmlgraph_messages(query(prompt="…")):  # doctest: +SKIP
        ...     print(message)
    """
    reporter, reader = sdk or default_sdk(_DEFAULT_NAME), MessageReader(agent_id)
    try:
        async for message in messages:
            _report_message(reporter, reader, message)
            yield message
    finally:
        # The session of a client continues after the response to a prompt.
        _finish(reporter, reader, getattr(messages, "__name__", None) == "query")
        close = getattr(messages, "aclose", None)
        if close is not None:
            await close()


def _hook_events() -> list[HookEvent]:
    """Return the names of all hooks of the installed SDK."""
    from claude_agent_sdk.types import HookEvent

    parts = get_args(HookEvent)
    return [name for part in parts for name in (get_args(part) or (part,))]


@never_raises
def _report_hook(sdk: SDK, agent_id: str | None, hook_input: Mapping[str, Any]) -> None:
    fields: dict[str, Any] = {"agent_id": agent_id, "feature_id": sdk.feature_id}
    fields |= {"project": sdk.project, "input_hash": hash_input(hook_input.get("tool_input"))}
    known = {name: value for name, value in fields.items() if value is not None}
    payload = {**hook_input, "htmlgraph": known}
    if not _may_report_titles(sdk):
        payload.pop("session_title", None)
    for event in events_from_hook(payload, received_at=datetime.now(UTC)):
        sdk.report(**{**event.to_dict(), "source": SDK_SOURCE, "agent_kind": AGENT})


def _may_report_titles(sdk: SDK) -> bool:
    from ..client.discovery import Address

    url = sdk.url or os.environ.get("HTMLGRAPH_URL")
    if os.environ.get("HTMLGRAPH_TITLES") == "on" or not url:
        return True
    try:
        return Address.parse(url).loopback
    except ConfigError:
        # The sender logs the malformed URL.
        return False


@never_raises
def _report_message(sdk: SDK, reader: MessageReader, message: object) -> None:
    for fields in reader.feed(message):
        sdk.report(**fields)


@never_raises
def _finish(sdk: SDK, reader: MessageReader, ended: bool) -> None:
    for fields in reader.finish(ended=ended):
        sdk.report(**fields)
