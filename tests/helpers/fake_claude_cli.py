"""A stand-in for Claude Code behind the Claude Agent SDK: a transport that plays a conversation."""

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
        script: messages as Claude Code writes them; a hook's input is sent to every callback that
            was registered for it, and the next step waits for the answers.
    """

    def __init__(self, script: list[dict[str, Any]]) -> None:
        self.script = script
        self.registered: dict[str, list[str]] = {}
        self.answers: list[dict[str, Any]] = []
        self._out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._playing: asyncio.Task[None] | None = None
        self._open: dict[str, asyncio.Event] = {}

    async def connect(self) -> None:
        """Nothing has to be opened."""

    async def write(self, data: str) -> None:
        """Take what the SDK says."""
        said = json.loads(data)
        if said["type"] == "control_request":
            for hook, matchers in (said["request"].get("hooks") or {}).items():
                self.registered[hook] = [
                    one for each in matchers for one in each["hookCallbackIds"]
                ]
            answer = {"subtype": "success", "request_id": said["request_id"], "response": {}}
            await self._out.put({"type": "control_response", "response": answer})
        elif said["type"] == "control_response":
            self.answers.append(said["response"])
            self._open.pop(said["response"]["request_id"]).set()
        elif said["type"] == "user" and self._playing is None:
            self._playing = asyncio.create_task(self._play())

    async def _play(self) -> None:
        for number, message in enumerate(self.script):
            hook = message.get("hook_event_name")
            if hook is None:
                await self._out.put(message)
                continue
            waits = []
            for callback in self.registered.get(hook, ()):
                key = f"{number}-{callback}"
                waits.append(self._open.setdefault(key, asyncio.Event()))
                request = {"subtype": "hook_callback", "callback_id": callback, "input": message}
                request["tool_use_id"] = message.get("tool_use_id")
                asked = {"type": "control_request", "request_id": key, "request": request}
                await self._out.put(asked)
            for one in waits:
                await one.wait()
        await self._out.put(None)

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages until the script is over."""
        while (message := await self._out.get()) is not None:
            yield message

    async def close(self) -> None:
        """End what plays."""
        if self._playing is not None:
            self._playing.cancel()

    async def end_input(self) -> None:
        """The SDK has no more to say."""

    def is_ready(self) -> bool:
        """It always is."""
        return True


def hook_input(name: str, **fields: Any) -> dict[str, Any]:
    """Return a hook's input."""
    return {
        "hook_event_name": name,
        "session_id": SESSION,
        "transcript_path": "/nowhere",
        "cwd": "/home/me/shop",
        **fields,
    }


def init_message() -> dict[str, Any]:
    """Return the message with which each turn begins."""
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
    """Return one block of an answer."""
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
    """Return a part of an answer, as ``include_partial_messages`` brings it."""
    return {"type": "stream_event", "uuid": "u", "session_id": SESSION, "event": event}


def result_message(counts: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    """Return the end of a turn."""
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
