"""Hooks and a message reader for the Claude Agent SDK.

Source: ``HookEvent``, ``HookMatcher`` and the messages of claude-agent-sdk 0.2; the hooks' inputs
are Claude Code's. Names, ids, durations and counts are reported; prompts, answers, tool inputs and
results are not.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ..coding_agents.claude.hooks import events_from_hook
from ..sdk import SDK
from .claude_messages import SDK_SOURCE, MessageReader
from .default_sdk import default_sdk
from .guard import never_raises

if TYPE_CHECKING:
    from claude_agent_sdk import HookMatcher
    from claude_agent_sdk.types import HookEvent

__all__ = ["htmlgraph_hooks", "htmlgraph_messages"]

_HANDLE = "claude-agent-sdk"
_Message = TypeVar("_Message")


def htmlgraph_hooks(
    agent_id: str | None = None,
    *,
    sdk: SDK | None = None,
    hooks: Mapping[HookEvent, list[HookMatcher]] | None = None,
) -> dict[HookEvent, list[HookMatcher]]:
    """Return hooks that report tools, prompts, subagents, permissions and ends of turns.

    They decide nothing: each answers at once, with an empty decision. Where the SDK is told to load
    a user's settings (``setting_sources``) to which ``htmlgraph-nb connect claude`` has added its
    hooks, those tell the same already, and these are not needed.

    Args:
        agent_id: of the main agent; None: as the sessions of Claude Code are called.
        sdk: the handle through which they report; None: the one that is open around, else an own.
        hooks: hooks of your own, which stay before these.

    Raises:
        ImportError: the Claude Agent SDK is not installed.

    Example:
        >>> options = ClaudeAgentOptions(hooks=htmlgraph_hooks("researcher"))  # doctest: +SKIP
    """
    try:
        from claude_agent_sdk import HookMatcher
    except ImportError as error:
        raise ImportError(
            f"the Claude Agent SDK cannot be loaded ({error}), and its hooks need it: "
            "pip install claude-agent-sdk",
            name=error.name,
        ) from None
    reporter = sdk or default_sdk(_HANDLE)

    async def report(hook_input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        _report_hook(reporter, agent_id, hook_input)
        return {}

    found: dict[HookEvent, list[HookMatcher]] = {
        event: [HookMatcher(hooks=[report])]  # type: ignore[list-item]
        for event in _known_events()
    }
    for event, matchers in (hooks or {}).items():
        found[event] = [*matchers, *found.get(event, [])]
    return found


async def htmlgraph_messages(
    messages: AsyncIterable[_Message], agent_id: str | None = None, *, sdk: SDK | None = None
) -> AsyncIterator[_Message]:
    """Pass messages on as they come, and report the answers among them with their tokens.

    Also reported are the begin of a session, a turn that failed and, of ``query()``, the end.

    Args:
        messages: of ``query()``, or of a client's ``receive_response()`` or ``receive_messages()``.
        agent_id, sdk: as ``htmlgraph_hooks``.

    Example:
        >>> async for message in htmlgraph_messages(query(prompt="…")):  # doctest: +SKIP
        ...     print(message)
    """
    reporter, reader = sdk or default_sdk(_HANDLE), MessageReader(agent_id)
    try:
        async for message in messages:
            _report_message(reporter, reader, message)
            yield message
    finally:
        # A client's session goes on after the answer to a prompt.
        _report_rest(reporter, reader, getattr(messages, "__name__", None) == "query")
        close = getattr(messages, "aclose", None)
        if close is not None:
            await close()


def _known_events() -> list[HookEvent]:
    """Return the names of all hooks that the installed SDK knows."""
    from claude_agent_sdk.types import HookEvent

    parts = get_args(HookEvent)
    return [name for part in parts for name in (get_args(part) or (part,))]


@never_raises
def _report_hook(sdk: SDK, agent_id: str | None, hook_input: Mapping[str, Any]) -> None:
    added = {"agent_id": agent_id, "feature_id": sdk.feature_id, "project": sdk.project}
    told = {name: value for name, value in added.items() if value is not None}
    payload = {**hook_input, "htmlgraph": told}
    for event in events_from_hook(payload, received_at=datetime.now(UTC)):
        sdk.report(**{**event.to_dict(), "source": SDK_SOURCE})


@never_raises
def _report_message(sdk: SDK, reader: MessageReader, message: object) -> None:
    for fields in reader.feed(message):
        sdk.report(**fields)


@never_raises
def _report_rest(sdk: SDK, reader: MessageReader, over: bool) -> None:
    for fields in reader.finish(over=over):
        sdk.report(**fields)
