"""One made-up session of an agent, as its hooks, its file and its telemetry each tell of it.

The times of the three differ a little, as they do in life.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.signals import LogRecord
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.backfill import final_events
from tests.helpers.growing_session import line

SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
BEGIN = datetime(2026, 5, 30, 17, 0, tzinfo=UTC)
STEP_S = 20.0
"""Between two things that happen: more than the sources' clocks can differ."""
SOURCES = ("hooks", "file", "otlp")

Turn = Sequence[bool]
"""One entry for each tool call of a turn: whether it fails."""


@dataclass
class Told:
    """What each source tells.

    Attributes:
        hooks, file, otlp: the events, in order.
        lines: of the session file.
        n_calls, n_answers, n_tokens: what there really was.
        end: when the last thing happened.
    """

    agent: str
    hooks: list[Event] = field(default_factory=list)
    otlp: list[Event] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    file: list[Event] = field(default_factory=list)
    n_calls: int = 0
    n_failed: int = 0
    n_answers: int = 0
    n_tokens: int = 0
    end: datetime = BEGIN

    def events(self, sources: Sequence[str]) -> list[Event]:
        """Return all that these sources tell, in the order of time."""
        found = [event for name in sources for event in getattr(self, name)]
        return sorted(found, key=lambda event: event.timestamp or BEGIN)


def session(agent: str, turns: Sequence[Turn], *, same_counts: bool, over: bool) -> Told:
    """Return a session of these turns.

    Args:
        same_counts: every answer used the same numbers of tokens.
        over: the session is ended, which hooks alone tell.
    """
    told = Told(agent)
    _Writer(told, same_counts).write(turns, over)
    reader = AGENTS[agent].session_reader(f"{SESSION}.jsonl")
    read = [event for each in told.lines for event in reader.feed(each.strip())]
    told.file = final_events([*read, *reader.settle(5.0)])
    return told


class _Writer:
    def __init__(self, told: Told, same_counts: bool) -> None:
        self.told = told
        self.same_counts = same_counts
        self.at = BEGIN
        self.numbers = itertools.count(1)
        self.write_line: Callable[..., None] = getattr(self, f"_{told.agent}_line")

    def write(self, turns: Sequence[Turn], over: bool) -> None:
        self.write_line("begin")
        self._hook("SessionStart", source="startup")
        self._log({"codex": "conversation_starts", "gemini": "config"}.get(self.told.agent))
        for turn in turns:
            self._pass()
            self._hook("BeforeAgent" if self._is_gemini else "UserPromptSubmit")
            self._log("user_prompt")
            self.write_line("prompt")
            for failed in turn:
                self._call(failed)
            self._answer(None, False)
            self._hook("AfterAgent" if self._is_gemini else "Stop", later_s=0.6)
        if over:
            self._pass()
            self._hook("SessionEnd", reason="exit")
        self.told.end = self.at

    @property
    def _is_gemini(self) -> bool:
        return self.told.agent == "gemini"

    def _pass(self) -> None:
        self.at += timedelta(seconds=STEP_S)

    def _stamp(self, later_s: float = 0.0) -> str:
        at = self.at + timedelta(seconds=later_s)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _call(self, failed: bool) -> None:
        call = f"toolu_{next(self.numbers)}" if self.told.agent == "claude" else f"call_{self._n()}"
        self._answer(call, failed)
        told = {"tool_name": "Bash", "tool_use_id": call}
        if self._is_gemini:
            del told["tool_use_id"]
        before, after = ("BeforeTool", "AfterTool") if self._is_gemini else ("PreToolUse", "")
        self._hook(before, later_s=0.3, **told)
        self._pass()
        outcome: dict[str, Any] = {}
        if self._is_gemini:
            outcome = {"is_error": failed}
        elif not after:
            tells = failed and self.told.agent == "claude"
            after = "PostToolUseFailure" if tells else "PostToolUse"
        self._hook(after, later_s=0.3, **told, **outcome)
        self.write_line("result", call, failed)
        names = {"claude": "tool_result", "codex": "tool_result", "gemini": "tool_call"}
        own_name = "exec_command" if self.told.agent == "codex" else "Bash"
        about = {"success": str(not failed).lower(), "tool_name": own_name, "function_name": "Bash"}
        ids = {"claude": {"tool_use_id": call}, "codex": {"call_id": call}, "gemini": {}}
        self._log(names[self.told.agent], **about, **ids[self.told.agent])
        self.told.n_calls += 1
        self.told.n_failed += failed

    def _n(self) -> int:
        return next(self.numbers)

    def _answer(self, call: str | None, failed: bool) -> None:
        self._pass()
        n = 1 if self.same_counts else self._n()
        counts = (100 + n, 40, 7 + n)
        self.told.n_answers += 1
        self.told.n_tokens += sum(counts)
        fresh, cached, output = counts
        number = self.told.n_answers
        self.write_line("answer", call, failed, counts)
        if self.told.agent == "claude":
            usage = {"input_tokens": fresh, "cache_read_tokens": cached, "output_tokens": output}
            self._log("api_request", request_id=f"req_{number}", **usage)
        elif self.told.agent == "codex":
            usage = {"input_token_count": fresh + cached, "cached_token_count": cached}
            kind = {"event.kind": "response.completed", "output_token_count": output}
            self._log("sse_event", **usage, **kind)
        else:
            usage = {"input_token_count": fresh + cached, "cached_content_token_count": cached}
            self._log("api_response", output_token_count=output, **usage)

    def _hook(self, name: str, later_s: float = 0.2, **fields: Any) -> None:
        at = self._stamp(later_s)
        added = {"event_id": f"h{self._n()}", "timestamp": at}
        payload = {"session_id": SESSION, "hook_event_name": name, "htmlgraph": added, **fields}
        self.told.hooks += AGENTS[self.told.agent].events_from_hook(payload, received_at=self.at)

    def _log(self, name: str | None, **values: Any) -> None:
        if name is None:
            return
        prefix = {"claude": "claude_code", "codex": "codex", "gemini": "gemini_cli"}
        key = "conversation.id" if self.told.agent == "codex" else "session.id"
        attributes = {"event.name": f"{prefix[self.told.agent]}.{name}", key: SESSION, **values}
        nanoseconds = int((self.at.timestamp() + 0.1) * 1e9)
        record = LogRecord({}, "", "", attributes, nanoseconds)
        self.told.otlp += events_from_log(record, received_at=self.at)

    def _claude_line(self, kind: str, call: str | None = None, *rest: Any) -> None:
        number = self._n()
        head = {"sessionId": SESSION, "timestamp": self._stamp(), "uuid": f"u{number}"}
        if kind == "prompt":
            self._line({**head, "type": "user", "message": {"content": "do it"}})
        elif kind == "result":
            block = {"type": "tool_result", "tool_use_id": call, "is_error": rest[0]}
            self._line({**head, "type": "user", "message": {"content": [block]}})
        elif kind == "answer":
            fresh, cached, output = rest[1]
            answer = self.told.n_answers
            message = {
                "id": f"msg_{answer}",
                "model": "claude-sonnet-5",
                "content": [{"type": "tool_use", "id": call, "name": "Bash"}] if call else [],
                "stop_reason": "tool_use" if call else "end_turn",
                "usage": {
                    "input_tokens": fresh,
                    "cache_read_input_tokens": cached,
                    "output_tokens": output,
                },
            }
            about = {"type": "assistant", "requestId": f"req_{answer}", "message": message}
            self._line({**head, **about})

    def _codex_line(self, kind: str, call: str | None = None, *rest: Any) -> None:
        if kind == "begin":
            self._payload("session_meta", {"id": SESSION, "timestamp": self._stamp()})
            self._payload("turn_context", {"model": "gpt-5-codex"})
        elif kind == "prompt":
            self._payload("event_msg", {"type": "user_message", "message": "do it"})
        elif kind == "result":
            output = f"Exit code: {int(rest[0])}"
            result = {"type": "function_call_output", "call_id": call, "output": output}
            self._payload("response_item", result)
        else:
            if call:
                begun = {"type": "function_call", "call_id": call, "name": "exec_command"}
                self._payload("response_item", begun)
            fresh, cached, output_tokens = rest[1]
            last = {"input_tokens": fresh + cached, "cached_input_tokens": cached}
            last["output_tokens"] = output_tokens
            total = {"input_tokens": 1_000 * self.told.n_answers}
            info = {"last_token_usage": last, "total_token_usage": total}
            self._payload("event_msg", {"type": "token_count", "info": info})
            if call is None:
                end = {"type": "task_complete", "turn_id": f"t{self.told.n_answers}"}
                self._payload("event_msg", end)

    def _payload(self, kind: str, payload: dict[str, Any]) -> None:
        self._line({"timestamp": self._stamp(), "type": kind, "payload": payload})

    def _gemini_line(self, kind: str, call: str | None = None, *rest: Any) -> None:
        head: dict[str, Any] = {"id": f"m{self._n()}", "timestamp": self._stamp()}
        if kind == "begin":
            self._line({"sessionId": SESSION, "projectHash": "p", "startTime": self._stamp()})
        elif kind == "prompt":
            self._line({**head, "type": "user", "content": "do it"})
        elif kind == "result":
            done = {"id": call, "name": "Bash", "timestamp": self._stamp()}
            done["status"] = "error" if rest[0] else "success"
            self._line({**self.message, "toolCalls": [done]})
        else:
            fresh, cached, output = rest[1]
            tokens = {"input": fresh + cached, "cached": cached, "output": output}
            self.message = {**head, "type": "gemini", "model": "gemini-3-pro", "tokens": tokens}
            self._line(self.message)

    def _line(self, record: dict[str, Any]) -> None:
        self.told.lines.append(line(record))
