"""What frameworks have in common: agents that run, call tools and models, and start other agents.

Each method reports what has just happened; none waits. The ids of the events come from those of
the framework's runs, so that what two handlers tell of one run counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..coding_agents.fields import text
from ..core.ids import shorten_id
from ..sdk import SDK
from .run_ids import RunIds
from .token_usage import TokenCounts


@dataclass(slots=True, eq=False)
class AgentRun:
    """One turn of one agent.

    Attributes:
        key: id of the framework's run, unique.
        name: as the program calls the agent.
        parent: the run of the agent that started this one; None: a person or a program did.
        lasts: the session outlives the run, as that of a chat.
        asks: (agent, tool or None) for which a person must decide before the run can go on.
    """

    key: str
    name: str
    agent_id: str
    session_id: str
    parent: AgentRun | None
    lasts: bool
    asks: list[tuple[AgentRun, str | None]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    @property
    def root(self) -> AgentRun:
        """The run that a person or a program started."""
        run = self
        while run.parent is not None:
            run = run.parent
        return run


class AgentRuns:
    """Reports the runs of a framework's agents.

    Args:
        sdk: the handle through which it reports.
        source: names the framework in the events.
    """

    def __init__(self, sdk: SDK, source: str) -> None:
        self._sdk = sdk
        self._source = source
        self._names = RunIds()

    def begin(
        self,
        key: str,
        name: str,
        session_id: str,
        *,
        parent: AgentRun | None = None,
        lasts: bool = False,
        answered: bool | None = None,
    ) -> AgentRun:
        """Report that an agent begins a turn.

        Args:
            key: id of the framework's run, unique.
            name: of the agent; below a parent its id is ``parent/name``.
            answered: it goes on after a person's answer; None: if it was waiting for one.
        """
        full = f"{parent.agent_id}/{name}" if parent is not None else name
        agent_id, waited = self._names.acquire(full, session_id)
        run = AgentRun(key, name, agent_id, session_id, parent, lasts)
        if parent is None:
            once = shorten_id(f"{self._source}:{session_id}:{agent_id}:session_start")
            self._report(run, "session_start", event_id=once)
        else:
            self._tell_parent(run, "subagent_start")
        self._tell(run, "answered" if answered or (answered is None and waited) else "prompt")
        return run

    def end(self, run: AgentRun, how: str, error: str | None = None) -> None:
        """Report how a turn ended: "stop", "error", "interrupt", or "waiting" for a person.

        A run without a lasting session, as that of every subagent, ends its session too; one that
        failed stays visible as failed.
        """
        self._names.release(run.agent_id, waits=how == "waiting")
        if how == "waiting":
            return
        extra = None if error is None else {"error": error[:64]}
        if run.parent is None or how != "stop":
            self._tell(run, how, extra=extra)
        if run.parent is not None:
            self._tell_parent(run, "subagent_stop")
        if how != "error" and (run.parent is not None or not run.lasts):
            self._tell(run, "session_end")

    def end_session(self, run: AgentRun) -> None:
        """Report the end of a session that outlived its run."""
        self._tell(run, "session_end")

    def ask(self, run: AgentRun, tool_name: str | None, number: int = 0) -> None:
        """Report that a person must decide: about a tool, or about anything."""
        key = shorten_id(f"{self._source}:{run.key}:ask:{number}")
        if tool_name is not None:
            self._report(run, "permission_request", tool_name=text(tool_name), event_id=key)
        else:
            extra = {"notification_type": "agent_needs_input"}
            self._report(run, "notification", extra=extra, event_id=key)

    def tool_start(self, run: AgentRun, key: str, call_id: str, name: str) -> None:
        """Report that a tool runs."""
        self._report(
            run,
            "tool_start",
            tool_name=text(name) or "tool",
            tool_use_id=shorten_id(call_id),
            event_id=shorten_id(f"{self._source}:{key}:tool_start"),
        )

    def tool_end(
        self,
        run: AgentRun,
        key: str,
        call_id: str,
        name: str,
        seconds: float,
        error: str | None = None,
    ) -> None:
        """Report that a tool ended; ``error``: in which kind of error."""
        self._report(
            run,
            "tool_execute" if error is None else "tool_error",
            tool_name=text(name) or "tool",
            tool_use_id=shorten_id(call_id),
            status="ok" if error is None else "error",
            duration_ms=_milliseconds(seconds),
            extra=None if error is None else {"error": error[:64]},
            event_id=shorten_id(f"{self._source}:{key}:tool_end"),
        )

    def denied(self, run: AgentRun, key: str, call_id: str, name: str) -> None:
        """Report that a person did not let a tool run."""
        self._report(
            run,
            "answered",
            tool_name=text(name) or "tool",
            tool_use_id=shorten_id(call_id),
            extra={"decision": "denied"},
            event_id=shorten_id(f"{self._source}:{key}:denied"),
        )

    def answer(
        self, run: AgentRun, key: str, model: object, tokens: TokenCounts, seconds: float
    ) -> None:
        """Report an answer of a model."""
        self._report(
            run,
            "completion",
            model=text(model),
            duration_ms=_milliseconds(seconds),
            event_id=shorten_id(f"{self._source}:{key}:answer"),
            **tokens,
        )

    def note(self, run: AgentRun, key: str, **facts: Any) -> None:
        """Report a sign of work that is none of the others, with its facts."""
        known = {name: value for name, value in facts.items() if value is not None}
        self._report(
            run, "activity", extra=known or None, event_id=shorten_id(f"{self._source}:{key}:note")
        )

    def _tell_parent(self, run: AgentRun, kind: str) -> None:
        if run.parent is not None:
            extra = {"child_agent_id": run.agent_id}
            self._report(
                run.parent,
                kind,
                extra=extra,
                event_id=shorten_id(f"{self._source}:{run.key}:{kind}"),
            )

    def _tell(self, run: AgentRun, kind: str, **fields: Any) -> None:
        self._report(
            run, kind, event_id=shorten_id(f"{self._source}:{run.key}:own:{kind}"), **fields
        )

    def _report(self, run: AgentRun, kind: str, **fields: Any) -> None:
        parent = None if run.parent is None else run.parent.agent_id
        self._sdk.report(
            kind,
            agent_id=run.agent_id,
            session_id=run.session_id,
            parent_agent_id=parent,
            source=self._source,
            **fields,
        )


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1_000))
