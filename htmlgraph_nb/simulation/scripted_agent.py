"""An agent whose events a script writes: one method for each thing that an agent does."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..core.ids import agent_id_of
from ..core.model import Event, new_event
from ..core.timestamps import to_rfc3339

TimeOf = Callable[[float], datetime]
"""Returns the timestamp of a simulated second; later seconds have later timestamps."""

TOOLS = {
    "claude": {
        "search": "Grep",
        "read": "Read",
        "edit": "Edit",
        "write": "Write",
        "run": "Bash",
        "fetch": "WebFetch",
        "delegate": "Task",
    },
    "codex": {
        "search": "exec_command",
        "read": "exec_command",
        "edit": "apply_patch",
        "write": "apply_patch",
        "run": "exec_command",
        "fetch": "web_search",
    },
    "gemini": {
        "search": "search_file_content",
        "read": "read_file",
        "edit": "replace",
        "write": "write_file",
        "run": "run_shell_command",
        "fetch": "web_fetch",
    },
}
"""Kind of agent → what it does → name of its tool."""
_SECONDS = {
    # minimum and maximum duration of a call
    "search": (0.1, 0.8),
    "read": (0.05, 0.4),
    "edit": (0.1, 0.6),
    "write": (0.1, 0.6),
    "run": (2.0, 24.0),
    "fetch": (0.8, 5.0),
}
_COMPACT_AT = 0.92
"""Share of the context window at which the context is compacted."""
_COMPACTED_TOKENS = 28_000


class ScriptedAgent:
    """One agent, its clock and its context. Each method appends events and advances the clock.

    Args:
        agent_id: its id.
        kind: "claude", "codex" or "gemini"; determines the names of its tools.
        rng: the random generator of this agent.
        time_of: converts the clock to timestamps.
        now_s: the clock at the start, in simulated seconds.
        context: tokens in the context of the model at the start.
        window: maximum of ``context``; shortly before it the context is compacted.
        growth: minimum number of tokens that each answer of the model adds to the context.
        facts: fields of all its events, such as session_id.

    Attributes:
        source: the source of its events.
        now_s: the clock.
        context: tokens in the context of the model.
    """

    def __init__(
        self,
        agent_id: str,
        kind: str,
        rng: random.Random,
        time_of: TimeOf,
        now_s: float = 0.0,
        *,
        context: int = 20_000,
        window: int = 200_000,
        growth: int = 700,
        **facts: Any,
    ) -> None:
        self.agent_id, self.kind, self.rng, self.time_of = agent_id, kind, rng, time_of
        self.now_s, self.context = now_s, context
        self._window, self._growth = window, growth
        self.source = f"{kind}-hook"
        self._facts = facts
        self._n_calls = 0
        self._events: list[Event] = []

    def take_events(self) -> list[Event]:
        """Return the events since the last call, those of subagents included, in time order."""
        events, self._events = self._events, []
        # Stable: events with the same timestamp keep their order.
        return sorted(events, key=timestamp_of)

    def report(self, event_type: str, after_s: float = 0.05, **fields: Any) -> None:
        """Append an event ``after_s`` seconds later; ``fields`` replace those of all events."""
        self.now_s += after_s
        own = {"agent_id": self.agent_id, "source": self.source}
        of_event = {"event_type": event_type, "timestamp": self.time_of(self.now_s)}
        self._events.append(new_event(**{**self._facts, **own, **of_event, **fields}))

    def time_in(self, seconds: float) -> str:
        """Return the time in ``seconds`` in RFC 3339, for ``extra``."""
        return to_rfc3339(self.time_of(self.now_s + seconds))

    def think(self, output: int = 0) -> None:
        """Let the model answer; it compacts a full context first.

        Args:
            output: tokens of the answer; 0: a random number.
        """
        if self.context > _COMPACT_AT * self._window:
            self.compact()
        rng, is_claude = self.rng, self.kind == "claude"
        added = rng.randint(self._growth, 4 * self._growth)
        output = output or rng.randint(80, 900)
        uncached = rng.randint(3, 40) if is_claude else added
        read, written = self.context, added if is_claude else None
        context = read + uncached + (written or 0)
        self.context = context + output
        self.report(
            "completion",
            rng.uniform(2.0, 8.0),
            input_tokens=uncached,
            cache_read_tokens=read,
            cache_write_5m_tokens=written,
            output_tokens=output,
            context_tokens=context,
            # Only Codex reports its window.
            context_window=self._window if self.kind == "codex" else None,
        )

    def compact(self) -> None:
        """Replace the conversation by a summary, so that the context is small again."""
        self.context = min(self.context, _COMPACTED_TOKENS + self.rng.randint(0, 6_000))
        self.report("session_info", 20.0, context_tokens=self.context, extra={"compacted": True})

    def use(self, action: str, *, failed: bool = False, wait_s: float = 0.0) -> None:
        """Call a tool.

        Args:
            action: a key of TOOLS[kind].
            failed: the call ends in an error.
            wait_s: seconds until a person allows the call; 0: no permission is needed.
        """
        tool = TOOLS[self.kind][action]
        call = self.start_call(tool)
        if wait_s:
            self.report("permission_request", 0.2, tool_name=tool, tool_use_id=call)
            self.report("answered", wait_s)
        self.end_call(tool, call, self.rng.uniform(*_SECONDS[action]), failed=failed)

    def start_call(self, tool: str) -> str:
        """Start a call and return its id."""
        self._n_calls += 1
        call = f"call-{self.agent_id}-{self._n_calls}"
        self.report("tool_start", tool_name=tool, tool_use_id=call)
        return call

    def end_call(self, tool: str, call: str, seconds: float, *, failed: bool = False) -> None:
        """End a call that took this many seconds."""
        self.report(
            "tool_error" if failed else "tool_execute",
            seconds,
            tool_name=tool,
            tool_use_id=call,
            status="error" if failed else "ok",
            duration_ms=int(seconds * 1_000),
        )

    def steps(self, *actions: str) -> None:
        """Think and call a tool, for each of these actions."""
        for action in actions:
            self.think()
            self.use(action)

    def delegate(self, titles: tuple[str, ...], model: str) -> None:
        """Start a subagent for each title, all at once, and wait for all of them.

        Args:
            model: the model of the subagents.
        """
        tool, calls = TOOLS[self.kind]["delegate"], []
        for title in titles:
            call = self.start_call(tool)
            child = self._new_child(title, model)
            self.report(
                "subagent_start", tool_use_id=call, extra={"child_agent_id": child.agent_id}
            )
            calls.append((call, child))
        begin_s = self.now_s
        for _, child in calls:
            child.now_s = begin_s
            child.report("prompt", 0.1)
            for _ in range(self.rng.randint(2, 5)):
                child.steps("search", "read", "read")
            child.think()
            child.report("session_end", 0.1)
            self._events += child.take_events()
        # The parent learns of the ends in their order.
        for call, child in sorted(calls, key=lambda pair: pair[1].now_s):
            self.now_s = max(self.now_s, child.now_s)
            self.report("subagent_stop", extra={"child_agent_id": child.agent_id})
            self.end_call(tool, call, 0.1)

    def _new_child(self, title: str, model: str) -> ScriptedAgent:
        of_child = {"parent_agent_id": self.agent_id, "title": title, "model": model}
        facts = {**self._facts, **of_child}
        agent_id = agent_id_of(f"{self.rng.getrandbits(68):017x}", self.kind)
        child = ScriptedAgent(
            agent_id, self.kind, self.rng, self.time_of, self.now_s, context=9_000, **facts
        )
        child.source = self.source
        return child


def timestamp_of(event: Event) -> datetime:
    """Return the timestamp of a simulated event, which always has one."""
    if event.timestamp is None:
        raise AssertionError("a simulated event without a timestamp")
    return event.timestamp
