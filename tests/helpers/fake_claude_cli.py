"""A fake of the Claude Code CLI for the Claude Agent SDK: a transport that plays a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from claude_agent_sdk import Transport

SESSION = "a2e61c19-3994-4a40-9e21-7cfa7f6d20f8"


class FakeClaudeCLI(Transport):
    """Answers the SDK's control protocol and plays its script at the first prompt.

    Args:
        script: messages as Claude Code writes them. A hook input is sent to every callback that is
            registered for the hook, and the next message waits for the responses.

    Attributes:
        registered: hook → the ids of its callbacks.
        answers: the responses of the callbacks.
    """

    def __init__(self, script: list[dict[str, Any]]) -> None:
        self.script = script
        self.registered: dict[str, list[str]] = {}
        self.answers: list[dict[str, Any]] = []
        self._out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._playing: asyncio.Task[None] | None = None
        self._open: dict[str, asyncio.Event] = {}

    async def connect(self) -> None:
        """Do nothing: there is no process to start."""

    async def write(self, data: str) -> None:
        """Handle a message of the SDK."""
        message = json.loads(data)
        if message["type"] == "control_request":
            for hook, matchers in (message["request"].get("hooks") or {}).items():
                self.registered[hook] = [
                    callback for matcher in matchers for callback in matcher["hookCallbackIds"]
                ]
            response = {"subtype": "success", "request_id": message["request_id"], "response": {}}
            await self._out.put({"type": "control_response", "response": response})
        elif message["type"] == "control_response":
            self.answers.append(message["response"])
            self._open.pop(message["response"]["request_id"]).set()
        elif message["type"] == "user" and self._playing is None:
            self._playing = asyncio.create_task(self._play())

    async def _play(self) -> None:
        for number, message in enumerate(self.script):
            hook = message.get("hook_event_name")
            if hook is None:
                await self._out.put(message)
                continue
            responses = []
            for callback in self.registered.get(hook, ()):
                key = f"{number}-{callback}"
                responses.append(self._open.setdefault(key, asyncio.Event()))
                request = {"subtype": "hook_callback", "callback_id": callback, "input": message}
                request["tool_use_id"] = message.get("tool_use_id")
                await self._out.put(
                    {"type": "control_request", "request_id": key, "request": request}
                )
            for response in responses:
                await response.wait()
        await self._out.put(None)

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages of the script."""
        while (message := await self._out.get()) is not None:
            yield message

    async def close(self) -> None:
        """Stop the script."""
        if self._playing is not None:
            self._playing.cancel()

    async def end_input(self) -> None:
        """Do nothing: the script ends on its own."""

    def is_ready(self) -> bool:
        """Return True."""
        return True


def hook_input(name: str, **fields: Any) -> dict[str, Any]:
    """Return the input of a hook."""
    return {
        "hook_event_name": name,
        "session_id": SESSION,
        "transcript_path": "/nowhere",
        "cwd": "/home/me/shop",
        **fields,
    }


def init_message() -> dict[str, Any]:
    """Return the message at the start of each turn."""
    return {"type": "system", "subtype": "init", "session_id": SESSION, "model": "claude-sonnet-5"}


def usage(fresh: int, cached: int, written: int, output: int) -> dict[str, Any]:
    """Return a usage object of the Anthropic API."""
    return {
        "input_tokens": fresh,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": output,
    }


def assistant_message(
    message_id: str, counts: dict[str, Any] | None, parent: str | None = None
) -> dict[str, Any]:
    """Return the message of one content block of a completion."""
    return {
        "type": "assistant",
        "session_id": SESSION,
        "parent_tool_use_id": parent,
        "uuid": f"uuid-{message_id}",
        "message": {
            "id": message_id,
            "role": "assistant",
            "model": "claude-sonnet-5",
            "content": [{"type": "text", "text": "secret"}],
            "usage": counts,
        },
    }


def stream_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return a stream event, as sent with ``include_partial_messages``."""
    return {"type": "stream_event", "uuid": "u", "session_id": SESSION, "event": event}


def result_message(counts: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    """Return the message at the end of a turn."""
    return {
        "type": "result",
        "subtype": "success",
        "session_id": SESSION,
        "duration_ms": 5,
        "duration_api_ms": 4,
        "is_error": False,
        "num_turns": 1,
        "usage": counts,
        **fields,
    }
