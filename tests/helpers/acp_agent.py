"""A scripted agent of the Agent Client Protocol: ``python acp_agent.py`` speaks it on stdio.

It does what the words of the prompt say, in their order:

- ``say``: streams some text. ``read``: calls a tool that succeeds. ``break``: one that fails.
- ``ask``: asks for permission to run a tool, and runs it if that is given.
- ``two``: starts a second tool while the first one waits for permission.
- ``usage``: sends its context and cost. ``hold``: works until the turn is canceled.
- ``fail``: responds with an error. ``crash``: exits.

Each turn uses 1000 input, 200 cached and 50 output tokens; they are reported as totals of the
session. If ``ACP_AGENT_PROJECTS`` names a folder, the agent also writes a session file there, as
Claude Code does, with the same tokens in the answer of each turn.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SECRET = "correct horse battery staple"
"""Text in answers, titles, inputs and results, which must not be stored."""
MODELS = ("scripted-small", "scripted-large")

_CLAUDE_USAGE = {
    "input_tokens": 1_000,
    "cache_read_input_tokens": 200,
    "output_tokens": 50,
    "cache_creation_input_tokens": 0,
}


class ScriptedAgent:
    """One connection."""

    def __init__(self) -> None:
        self._n_requests = 0
        self._turns: dict[str, int] = {}
        self._calls = 0
        self._projects = os.environ.get("ACP_AGENT_PROJECTS", "")

    def run(self) -> None:
        """Answer requests until the input ends."""
        while (message := self._read()) is not None:
            method, request = message.get("method"), message.get("id")
            if method is None or request is None:
                continue
            params = message.get("params") or {}
            try:
                result = self._answer(method, params)
            except RuntimeError as error:
                failure = {"code": -32000, "message": f"{error}: {SECRET}"}
                self._send(id=request, error=failure)
            else:
                self._send(id=request, result=result)

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            return {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        if method == "session/new":
            return {"sessionId": str(uuid.uuid4()), **self._options()}
        if method == "session/load":
            return self._options()
        if method == "session/prompt":
            text = " ".join(block.get("text", "") for block in params["prompt"])
            return self._turn(params["sessionId"], text.rpartition("\n")[2].split())
        if method == "session/set_config_option":
            return self._options()
        raise RuntimeError(f"unknown method {method}")

    def _options(self) -> dict[str, Any]:
        options = [{"value": name, "name": name} for name in MODELS]
        model = {
            "id": "model",
            "name": "Model",
            "category": "model",
            "type": "select",
            "currentValue": MODELS[0],
            "options": options,
        }
        return {"configOptions": [model]}

    def _turn(self, session: str, words: list[str]) -> dict[str, Any]:
        n = self._turns[session] = self._turns.get(session, 0) + 1
        self._write(session, "user", {"role": "user", "content": SECRET})
        for word in words:
            if word == "say":
                for part in ("The ", "answer ", f"is {SECRET}."):
                    content = {"type": "text", "text": part}
                    self._update(session, "agent_message_chunk", content=content)
            elif word in ("read", "break"):
                self._tool(session, "read", "failed" if word == "break" else "completed")
            elif word in ("ask", "two"):
                self._ask(session, also=word == "two")
            elif word == "usage":
                cost = {"amount": 0.25 * n, "currency": "USD"}
                self._update(session, "usage_update", used=12_000 * n, size=200_000, cost=cost)
            elif word == "hold":
                while (message := self._read()) is not None:
                    if message.get("method") == "session/cancel":
                        return {"stopReason": "cancelled"}
            elif word == "fail":
                raise RuntimeError("the model is not available")
            elif word == "crash":
                sys.exit(3)
        usage = {
            "totalTokens": 1_250 * n,
            "inputTokens": 1_000 * n,
            "outputTokens": 50 * n,
            "cachedReadTokens": 200 * n,
        }
        answer = {
            "id": f"msg_01{uuid.uuid4().hex[:22]}",
            "role": "assistant",
            "type": "message",
            "model": "claude-opus-4-8",
            "stop_reason": "end_turn",
            "usage": _CLAUDE_USAGE,
            "content": [{"type": "text", "text": SECRET}],
        }
        self._write(session, "assistant", answer)
        return {"stopReason": "end_turn", "usage": usage}

    def _write(self, session: str, kind: str, message: dict[str, Any]) -> None:
        if not self._projects:
            return
        folder = Path(self._projects) / "-work"
        folder.mkdir(parents=True, exist_ok=True)
        line = {
            "type": kind,
            "sessionId": session,
            "uuid": str(uuid.uuid4()),
            "cwd": os.getcwd(),
            "timestamp": datetime.now(UTC).isoformat(),
            "version": "2.1.300",
            "isSidechain": False,
            "userType": "external",
            "message": message,
        }
        with open(folder / f"{session}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _tool(self, session: str, kind: str, status: str) -> None:
        call = self._start(session, kind)
        self._update(session, "tool_call_update", toolCallId=call, status=status)

    def _start(self, session: str, kind: str) -> str:
        self._calls += 1
        call = f"call-{self._calls}"
        self._update(
            session,
            "tool_call",
            toolCallId=call,
            title=f"{kind} {SECRET}",
            kind=kind,
            status="in_progress",
            rawInput={"command": SECRET},
        )
        return call

    def _ask(self, session: str, *, also: bool) -> None:
        call = self._start(session, "execute")
        options = [
            {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
            {"optionId": "no", "name": "Reject", "kind": "reject_once"},
        ]
        self._n_requests += 1
        request = f"ask-{self._n_requests}"
        tool = {"toolCallId": call, "title": f"execute {SECRET}", "kind": "execute"}
        params = {"sessionId": session, "options": options, "toolCall": tool}
        self._send(id=request, method="session/request_permission", params=params)
        if also:
            self._tool(session, "search", "completed")
        while (message := self._read()) is not None:
            if message.get("id") == request and "method" not in message:
                outcome = message["result"]["outcome"]
                status = "completed" if outcome.get("optionId") == "yes" else "failed"
                self._update(session, "tool_call_update", toolCallId=call, status=status)
                return

    def _update(self, session: str, update: str, **fields: Any) -> None:
        params = {"sessionId": session, "update": {"sessionUpdate": update, **fields}}
        self._send(method="session/update", params=params)

    def _send(self, **message: Any) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def _read(self) -> dict[str, Any] | None:
        line = sys.stdin.readline()
        message: dict[str, Any] | None = json.loads(line) if line else None
        return message


if __name__ == "__main__":
    ScriptedAgent().run()
