"""A fake of OpenAI's chat completions: calls each offered tool once, then ends the turn.

The tool ``final_answer`` is called last. A conversation that contains FAILS gets an error instead.
Each response reports INPUT_TOKENS, of which CACHED_TOKENS were read from the cache, and
OUTPUT_TOKENS, of which REASONING_TOKENS were reasoning.
"""

from __future__ import annotations

import itertools
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INPUT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS = 100, 40, 7, 3
FAILS = "FAILS"
_USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
    "completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS},
}


class FakeOpenAI:
    """The server; use as a context manager. ``url`` is its base URL on loopback.

    Attributes:
        n_responses: number of completions.
    """

    def __init__(self) -> None:
        model = self
        self.n_responses = 0
        numbers = itertools.count(1)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}")
                status, kind, answer = _answer(body, next(numbers))
                model.n_responses += status == 200
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Suppress the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> FakeOpenAI:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _answer(body: dict[str, Any], number: int) -> tuple[int, str, bytes]:
    messages = body.get("messages") or []
    if any(FAILS in str(message.get("content")) for message in messages):
        error = {"message": "refused", "type": "invalid_request_error", "code": "refused"}
        return 400, "application/json", json.dumps({"error": error}).encode()
    # smolagents repeats its calls as text.
    said = [message for message in messages if message.get("role") == "assistant"]
    text = json.dumps([[message.get("tool_calls"), message.get("content")] for message in said])
    offered = [tool["function"] for tool in body.get("tools") or []]
    called = {tool["name"] for tool in offered if tool["name"] in text}
    last = [tool for tool in offered if tool["name"] == "final_answer"]
    open_tools = [tool for tool in offered if tool["name"] not in called and tool not in last]
    message: dict[str, Any] = {"role": "assistant", "content": "done"}
    for tool in (open_tools or last)[:1]:
        arguments = json.dumps(_arguments(tool.get("parameters") or {}))
        function = {"name": tool["name"], "arguments": arguments}
        call = {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    common = {"id": f"chatcmpl-{number}", "created": 1_796_000_000, "model": body.get("model")}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        answer = {**common, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
        return 200, "application/json", json.dumps(answer).encode()
    delta = dict(message)
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": 0, **delta["tool_calls"][0]}]
    parts = [({"index": 0, "delta": delta, "finish_reason": None}, None)]
    parts += [({"index": 0, "delta": {}, "finish_reason": reason}, None)]
    chunks = [{**common, "object": "chat.completion.chunk", "choices": [p[0]]} for p in parts]
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = {"object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
        chunks.append({**common, **usage})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return 200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", list(properties))
    return {name: _value(properties[name]) for name in required if name in properties}


def _value(schema: dict[str, Any]) -> Any:
    if "anyOf" in schema:
        return _value(schema["anyOf"][0])
    values = {"integer": 2, "number": 2, "boolean": True, "array": []}
    kind = schema.get("type")
    return _arguments(schema) if kind == "object" else values.get(str(kind), "a question")
