"""Simulate a session of an agent as its hooks, its session file and its telemetry report it.

The timestamps of the three sources differ slightly, as they do in practice.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.signals import LogRecord
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.event_buffer import final_events
from tests.helpers.growing_session import json_line

SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
START = datetime(2026, 5, 30, 17, 0, tzinfo=UTC)
STEP_S = 20.0
"""Seconds between two actions; more than the clocks of the sources can differ."""
SOURCES = ("hooks", "file", "otlp")

Turn = Sequence[bool]
"""One entry for each tool call of a turn: whether it fails."""
_Counts = tuple[int, int, int]
"""Uncached input, cached input and output tokens of a completion."""


@dataclass
class SimulatedSession:
    """The events of each source.

    Attributes:
        hooks, file, otlp: the events, in order.
        lines: the lines of the session file.
        n_calls, n_failed, n_answers, n_tokens: the true numbers of the session.
        end: the time of the last action.
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
    end: datetime = START

    def events(self, sources: Sequence[str]) -> list[Event]:
        """Return the events of these sources, sorted by time."""
        events = [event for name in sources for event in getattr(self, name)]
        return sorted(events, key=lambda event: event.timestamp or START)


def simulate_session(
    agent: str,
    turns: Sequence[Turn],
    *,
    same_counts: bool,
    ended: bool,
    ids: Sequence[str] = (),
) -> SimulatedSession:
    """Return a session with these turns.

    Args:
        ids: the ids of its answers and tool calls, in turn, as of a relay that repeats them; none:
            each has an id of its own.
        same_counts: whether all completions use the same numbers of tokens.
        ended: whether the session has ended, which only hooks report.
    """
    simulator = _SIMULATORS[agent](same_counts)
    simulator.ids = itertools.cycle(ids) if ids else None
    simulator.run(turns, ended)
    session, reader = simulator.session, AGENTS[agent].session_reader(f"{SESSION}.jsonl")
    events = [event for each in session.lines for event in reader.feed(each.strip())]
    session.file = final_events([*events, *reader.on_quiet(5.0)])
    return session


class _Simulator(ABC):
    """Runs a session; the subclasses know the formats of one agent."""

    agent: ClassVar[str]
    prompt_hook = "UserPromptSubmit"
    stop_hook = "Stop"
    call_hook = "PreToolUse"
    call_prefix = "call"
    log_prefix: ClassVar[str]
    log_session_key = "session.id"
    start_log: str | None = None
    result_log = "tool_result"
    result_log_tool = "Bash"

    def __init__(self, same_counts: bool) -> None:
        self.session = SimulatedSession(self.agent)
        self.same_counts = same_counts
        self.now = START
        self.numbers = itertools.count(1)
        self.ids: Iterator[str] | None = None

    @abstractmethod
    def result_hook(self, failed: bool) -> tuple[str, dict[str, Any]]:
        """Return the name of the hook after a tool call, and the fields with its outcome."""

    def hook_call_fields(self, call: str) -> dict[str, Any]:
        """Return the fields that identify a tool call in a hook."""
        return {"tool_use_id": call}

    def log_call_fields(self, call: str) -> dict[str, Any]:
        """Return the attributes that identify a tool call in a log record."""
        return {}

    def write_start(self) -> None:  # noqa: B027  (most agents write none)
        """Write the first lines of the session file."""

    @abstractmethod
    def write_prompt(self) -> None:
        """Write a prompt to the session file."""

    @abstractmethod
    def write_result(self, call: str, failed: bool) -> None:
        """Write the result of a tool call to the session file."""

    @abstractmethod
    def write_completion(self, call: str | None, counts: _Counts) -> None:
        """Write a completion to the session file; ``call``: the tool that it calls."""

    @abstractmethod
    def log_completion(self, counts: _Counts) -> None:
        """Report a completion by telemetry."""

    def run(self, turns: Sequence[Turn], ended: bool) -> None:
        """Simulate all turns."""
        self.write_start()
        self.hook("SessionStart", source="startup")
        if self.start_log is not None:
            self.log(self.start_log)
        for turn in turns:
            self.advance()
            self.hook(self.prompt_hook)
            self.log("user_prompt")
            self.write_prompt()
            for failed in turn:
                self.call_tool(failed)
            self.complete(None)
            self.hook(self.stop_hook, delay_s=0.6)
        if ended:
            self.advance()
            self.hook("SessionEnd", reason="exit")
        self.session.end = self.now

    def call_tool(self, failed: bool) -> None:
        """Simulate a completion that calls a tool, and the tool."""
        number = next(self.numbers)
        call = f"{self.call_prefix}_{number}" if self.ids is None else next(self.ids)
        self.complete(call)
        tool = {"tool_name": "Bash", **self.hook_call_fields(call)}
        self.hook(self.call_hook, delay_s=0.3, **tool)
        self.advance()
        name, outcome = self.result_hook(failed)
        self.hook(name, delay_s=0.3, **tool, **outcome)
        self.write_result(call, failed)
        self.log(
            self.result_log,
            success=str(not failed).lower(),
            tool_name=self.result_log_tool,
            function_name="Bash",
            duration_ms=str(int(STEP_S * 1000) - 500),
            **self.log_call_fields(call),
        )
        self.session.n_calls += 1
        self.session.n_failed += failed

    def complete(self, call: str | None) -> None:
        """Simulate a completion; ``call``: the tool call in it."""
        self.advance()
        n = 1 if self.same_counts else next(self.numbers)
        counts = (100 + n, 40, 7 + n)
        self.session.n_answers += 1
        self.session.n_tokens += sum(counts)
        self.write_completion(call, counts)
        self.log_completion(counts)

    def advance(self) -> None:
        """Advance the clock."""
        self.now += timedelta(seconds=STEP_S)

    def timestamp(self, delay_s: float = 0.0) -> str:
        """Return the current time as the agents write it."""
        at = self.now + timedelta(seconds=delay_s)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def hook(self, name: str, delay_s: float = 0.2, **fields: Any) -> None:
        """Add the events of a hook call."""
        added = {"event_id": f"h{next(self.numbers)}", "timestamp": self.timestamp(delay_s)}
        payload = {"session_id": SESSION, "hook_event_name": name, "htmlgraph": added, **fields}
        self.session.hooks += AGENTS[self.agent].events_from_hook(payload, received_at=self.now)

    def log(self, name: str, **values: Any) -> None:
        """Add the events of a log record."""
        attributes = {
            "event.name": f"{self.log_prefix}.{name}",
            self.log_session_key: SESSION,
            **values,
        }
        nanoseconds = int((self.now.timestamp() + 0.1) * 1e9)
        record = LogRecord({}, "", "", attributes, nanoseconds)
        self.session.otlp += events_from_log(record, received_at=self.now)

    def write(self, record: dict[str, Any]) -> None:
        """Add a line to the session file."""
        self.session.lines.append(json_line(record))


class _ClaudeSimulator(_Simulator):
    agent = "claude"
    call_prefix = "toolu"
    log_prefix = "claude_code"

    def result_hook(self, failed: bool) -> tuple[str, dict[str, Any]]:
        return "PostToolUseFailure" if failed else "PostToolUse", {}

    def log_call_fields(self, call: str) -> dict[str, Any]:
        return {"tool_use_id": call}

    def write_prompt(self) -> None:
        self.write_message("user", {"content": "do it"})

    def write_result(self, call: str, failed: bool) -> None:
        block = {"type": "tool_result", "tool_use_id": call, "is_error": failed}
        self.write_message("user", {"content": [block]})

    def write_completion(self, call: str | None, counts: _Counts) -> None:
        fresh, cached, output = counts
        number = self.session.n_answers
        message = {
            "id": f"msg_{number}" if self.ids is None else next(self.ids),
            "model": "claude-sonnet-5",
            "content": [{"type": "tool_use", "id": call, "name": "Bash"}] if call else [],
            "stop_reason": "tool_use" if call else "end_turn",
            "usage": {
                "input_tokens": fresh,
                "cache_read_input_tokens": cached,
                "output_tokens": output,
            },
        }
        request = f"req_{number}" if self.ids is None else None
        self.write_message("assistant", message, requestId=request)

    def write_message(self, kind: str, message: dict[str, Any], **fields: Any) -> None:
        """Write a message of the user or the assistant."""
        head = {"sessionId": SESSION, "timestamp": self.timestamp(), "type": kind}
        self.write({**head, "uuid": f"u{next(self.numbers)}", **fields, "message": message})

    def log_completion(self, counts: _Counts) -> None:
        fresh, cached, output = counts
        self.log(
            "api_request",
            **({"request_id": f"req_{self.session.n_answers}"} if self.ids is None else {}),
            input_tokens=fresh,
            cache_read_tokens=cached,
            output_tokens=output,
        )


class _CodexSimulator(_Simulator):
    agent = "codex"
    log_prefix = "codex"
    log_session_key = "conversation.id"
    start_log = "conversation_starts"
    result_log_tool = "exec_command"

    def result_hook(self, failed: bool) -> tuple[str, dict[str, Any]]:
        return "PostToolUse", {}

    def log_call_fields(self, call: str) -> dict[str, Any]:
        return {"call_id": call}

    def write_start(self) -> None:
        self.write_item("session_meta", {"id": SESSION, "timestamp": self.timestamp()})
        self.write_item("turn_context", {"model": "gpt-5-codex"})

    def write_prompt(self) -> None:
        self.write_item("event_msg", {"type": "user_message", "message": "do it"})

    def write_result(self, call: str, failed: bool) -> None:
        output = f"Exit code: {int(failed)}"
        result = {"type": "function_call_output", "call_id": call, "output": output}
        self.write_item("response_item", result)

    def write_completion(self, call: str | None, counts: _Counts) -> None:
        fresh, cached, output = counts
        number = self.session.n_answers
        if call is not None:
            started = {"type": "function_call", "call_id": call, "name": "exec_command"}
            self.write_item("response_item", started)
        usage = {
            "input_tokens": fresh + cached,
            "cached_input_tokens": cached,
            "output_tokens": output,
        }
        info = {"last_token_usage": usage, "total_token_usage": {"input_tokens": 1_000 * number}}
        self.write_item("event_msg", {"type": "token_count", "info": info})
        if call is None:
            self.write_item("event_msg", {"type": "task_complete", "turn_id": f"t{number}"})

    def write_item(self, kind: str, payload: dict[str, Any]) -> None:
        """Write an item with its payload."""
        self.write({"timestamp": self.timestamp(), "type": kind, "payload": payload})

    def log_completion(self, counts: _Counts) -> None:
        fresh, cached, output = counts
        values = {
            "event.kind": "response.completed",
            "input_token_count": fresh + cached,
            "cached_token_count": cached,
            "output_token_count": output,
        }
        self.log("sse_event", **values)


class _GeminiSimulator(_Simulator):
    agent = "gemini"
    prompt_hook = "BeforeAgent"
    stop_hook = "AfterAgent"
    call_hook = "BeforeTool"
    log_prefix = "gemini_cli"
    start_log = "config"
    result_log = "tool_call"

    def __init__(self, same_counts: bool) -> None:
        super().__init__(same_counts)
        self.last_message: dict[str, Any] = {}

    def result_hook(self, failed: bool) -> tuple[str, dict[str, Any]]:
        return "AfterTool", {"is_error": failed}

    def hook_call_fields(self, call: str) -> dict[str, Any]:
        return {}

    def write_start(self) -> None:
        self.write({"sessionId": SESSION, "projectHash": "p", "startTime": self.timestamp()})

    def write_prompt(self) -> None:
        self.write({**self.head(), "type": "user", "content": "do it"})

    def write_result(self, call: str, failed: bool) -> None:
        status = "error" if failed else "success"
        done = {"id": call, "name": "Bash", "timestamp": self.timestamp(), "status": status}
        self.write({**self.last_message, "toolCalls": [done]})

    def write_completion(self, call: str | None, counts: _Counts) -> None:
        fresh, cached, output = counts
        self.last_message = {
            **self.head(),
            "type": "gemini",
            "model": "gemini-3-pro",
            "tokens": {"input": fresh + cached, "cached": cached, "output": output},
        }
        self.write(self.last_message)

    def head(self) -> dict[str, Any]:
        """Return the fields that all messages have."""
        return {"id": f"m{next(self.numbers)}", "timestamp": self.timestamp()}

    def log_completion(self, counts: _Counts) -> None:
        fresh, cached, output = counts
        self.log(
            "api_response",
            input_token_count=fresh + cached,
            cached_content_token_count=cached,
            output_token_count=output,
        )


_SIMULATORS: dict[str, type[_Simulator]] = {
    simulator.agent: simulator
    for simulator in (_ClaudeSimulator, _CodexSimulator, _GeminiSimulator)
}
SIMULATED = tuple(_SIMULATORS)
"""The agents of which ``simulate_session`` knows hooks, files and telemetry."""
