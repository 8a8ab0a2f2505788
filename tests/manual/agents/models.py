"""A fake of the model APIs of three vendors: requests two shell commands, then ends the turn.

It implements as much of Anthropic's Messages, OpenAI's Responses and Chat Completions and Google's
streamGenerateContent as the command-line agents need, streams each response and counts the tokens
that it reports.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMANDS = ("echo first", "echo second")
INPUT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS = 100, 40, 7
"""Tokens that each response reports; cached tokens are part of the input if the vendor does so."""

_SHELLS = ("bash", "run_shell_command")
"""Names of the tool that runs a command."""
RESPONSE_S = 0.3
"""Seconds that a response takes, as with a fast model, so that asynchronous hooks can run."""


class Model:
    """The server; ``responses`` counts the responses of main turns by vendor.

    Use as a context manager; ``url`` is its address on loopback.
    """

    def __init__(self) -> None:
        model = self
        self.responses = {"anthropic": 0, "openai": 0, "chat": 0, "google": 0}
        self.paths: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}")
                model.paths.append(self.path)
                model.respond(self, body)

            def do_GET(self) -> None:
                model.paths.append(self.path)
                _json(self, {"data": [], "models": []})

            def log_message(self, *_: object) -> None:
                """Suppress the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Model:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """Respond to a request by its path."""
        path = handler.path.partition("?")[0]
        time.sleep(RESPONSE_S)
        if path.endswith("/count_tokens"):
            _json(handler, {"input_tokens": INPUT_TOKENS})
        elif path.endswith("/messages"):
            _stream(handler, self._anthropic(body)) if body.get("stream") else _json(
                handler, _message(body, [{"type": "text", "text": "title"}], "end_turn")
            )
        elif path.endswith("/responses"):
            _stream(handler, self._openai(body))
        elif path.endswith("/chat/completions"):
            _stream(handler, self._chat(body)) if body.get("stream") else _json(
                handler, next(self._chat({**body, "tools": None}))[1]
            )
        elif ":streamGenerateContent" in path:
            _stream(handler, self._google(body))
        elif ":generateContent" in path:
            _json(handler, next(self._google({**body, "tools": None}))[1])
        else:
            _json(handler, {})

    def _anthropic(self, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        done = sum(
            part.get("type") == "tool_result"
            for message in body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
        )
        main = any(tool.get("name") == "Bash" for tool in body.get("tools") or ())
        self.responses["anthropic"] += main
        number = self.responses["anthropic"]
        if main and done < len(COMMANDS):
            call = {"type": "tool_use", "id": f"toolu_{number:02}", "name": "Bash", "input": {}}
            text = json.dumps({"command": COMMANDS[done], "description": "say it"})
            piece = {"type": "input_json_delta", "partial_json": text}
            block, stop = call, "tool_use"
        else:
            block, piece = {"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."}
            stop = "end_turn"
        start = _message(body, [], None)
        yield "message_start", {"message": start}
        yield "content_block_start", {"index": 0, "content_block": block}
        yield "content_block_delta", {"index": 0, "delta": piece}
        yield "content_block_stop", {"index": 0}
        end = {"stop_reason": stop, "stop_sequence": None}
        yield "message_delta", {"delta": end, "usage": {"output_tokens": OUTPUT_TOKENS}}
        yield "message_stop", {}

    def _openai(self, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        done = sum(
            str(item.get("type")).endswith("_output")
            for item in body["input"]
            if isinstance(item, dict)
        )
        self.responses["openai"] += 1
        number = self.responses["openai"]
        names = [tool.get("name") for tool in body.get("tools") or ()]
        if done < len(COMMANDS):
            name, arguments = _codex_call(names, COMMANDS[done])
            item: dict[str, Any] = {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": f"call_{number}",
                "name": name,
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
        else:
            text = {"type": "output_text", "text": "Done.", "annotations": []}
            item = {"type": "message", "id": f"m_{number}", "role": "assistant", "content": [text]}
        usage = {
            "input_tokens": INPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
            "output_tokens": OUTPUT_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        }
        response = {"id": f"resp_{number}", "object": "response", "model": body.get("model")}
        yield "response.created", {"response": {**response, "status": "in_progress"}}
        yield "response.output_item.added", {"output_index": 0, "item": item}
        yield "response.output_item.done", {"output_index": 0, "item": item}
        finished = {**response, "status": "completed", "output": [item], "usage": usage}
        yield "response.completed", {"response": finished}

    def _chat(self, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        done = sum(message.get("role") == "tool" for message in body["messages"])
        names = [tool["function"]["name"] for tool in body.get("tools") or ()]
        name = next((each for each in names if each in _SHELLS), None)
        self.responses["chat"] += name is not None
        number = self.responses["chat"]
        message: dict[str, Any] = {"role": "assistant", "content": "Done."}
        reason = "stop"
        if name is not None and done < len(COMMANDS):
            arguments = {"command": COMMANDS[done], "description": "say it", "is_background": False}
            function = {"name": name, "arguments": json.dumps(arguments)}
            call_id = f"call_{uuid.uuid4().hex}"
            call = {"index": 0, "id": call_id, "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            reason = "tool_calls"
        usage = {
            "prompt_tokens": INPUT_TOKENS,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        }
        head = {"id": f"chat_{number}", "created": 0, "model": body.get("model")}
        # Copilot CLI adds up the two if a response has both.
        key = "delta" if body.get("stream") else "message"
        choice = {"index": 0, key: message, "finish_reason": reason}
        yield "", {**head, "object": "chat.completion.chunk", "choices": [choice], "usage": usage}

    def _google(self, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        done = sum(
            "functionResponse" in part
            for content in body.get("contents", ())
            for part in content.get("parts", ())
        )
        main = bool(body.get("tools"))
        self.responses["google"] += main
        if main and done < len(COMMANDS):
            arguments = {"command": COMMANDS[done], "description": "say it"}
            part = {"functionCall": {"name": "run_shell_command", "args": arguments}}
        else:
            part = {"text": "Done."}
        content = {"role": "model", "parts": [part]}
        yield (
            "",
            {
                "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": {
                    "promptTokenCount": INPUT_TOKENS,
                    "cachedContentTokenCount": CACHED_TOKENS,
                    "candidatesTokenCount": OUTPUT_TOKENS,
                    "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
                },
                "modelVersion": "gemini-2.5-pro",
            },
        )


def _message(body: dict[str, Any], content: list[Any], stop: str | None) -> dict[str, Any]:
    usage = {
        "input_tokens": INPUT_TOKENS,
        "cache_read_input_tokens": CACHED_TOKENS,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1 if stop is None else OUTPUT_TOKENS,
    }
    return {
        "id": f"msg_{id(body):x}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _codex_call(names: list[str | None], command: str) -> tuple[str, dict[str, Any]]:
    if "exec_command" in names:
        return "exec_command", {"cmd": command}
    if "shell_command" in names:
        return "shell_command", {"command": command}
    return "shell", {"command": ["sh", "-c", command]}


def _json(handler: BaseHTTPRequestHandler, value: Any) -> None:
    body = json.dumps(value).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _stream(handler: BaseHTTPRequestHandler, events: Iterator[tuple[str, dict[str, Any]]]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    for name, data in events:
        if name:
            handler.wfile.write(f"event: {name}\n".encode())
            data = {"type": name, **data}
        handler.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
    if handler.path.endswith("/chat/completions"):
        handler.wfile.write(b"data: [DONE]\n\n")
    handler.close_connection = True
