"""Report the runs of a framework's agents: turns, tool calls, completions and subagents.

The methods never block. The event ids derive from the ids of the framework's runs, so an event that
two handlers report counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..coding_agents.fields import string
from ..core.ids import shorten_id
from ..sdk import SDK
from .run_ids import RunIds
from .token_usage import TokenCounts


@dataclass(slots=True, eq=False)
class AgentRun:
    """One turn of one agent.

    Attributes:
        key: unique id of the framework's run.
        name: the name of the agent in the program.
        parent: the run of the agent that started this run; None: a person or the program started
            it.
        keeps_session: the session outlives the run, like that of a chat.
        input_requests: (agent, tool or None) for which a person must decide before the run can
            continue.
        interrupt_ids: ids of the interrupts behind these requests.
    """

    key: str
    name: str
    agent_id: str
    session_id: str
    parent: AgentRun | None
    keeps_session: bool
    input_requests: list[tuple[AgentRun, str | None]] = field(default_factory=list)
    interrupt_ids: set[str] = field(default_factory=set)

    @property
    def root(self) -> AgentRun:
        """The run that a person or the program started."""
        run = self
        while run.parent is not None:
            run = run.parent
        return run


class AgentRuns:
    """Reports the runs of a framework's agents.

    Args:
        sdk: the handle through which to report.
        source: the name of the framework in the events.
    """

    def __init__(self, sdk: SDK, source: str) -> None:
        self._sdk = sdk
        self._source = source
        self._run_ids = RunIds()

    def start(
        self,
        key: str,
        name: str,
        session_id: str,
        *,
        parent: AgentRun | None = None,
        keeps_session: bool = False,
        answered: bool | None = None,
    ) -> AgentRun:
        """Report the start of a turn and return it.

        Args:
            key: unique id of the framework's run.
            name: name of the agent; below a parent its id is ``parent/name``.
            answered: whether the run continues after a person's answer; None: it does if the
                session was waiting for an answer.
        """
        full_name = f"{parent.agent_id}/{name}" if parent is not None else name
        agent_id, has_waited = self._run_ids.acquire(full_name, session_id)
        run = AgentRun(key, name, agent_id, session_id, parent, keeps_session)
        if parent is None:
            start_id = shorten_id(f"{self._source}:{session_id}:{agent_id}:session_start")
            self._report(run, "session_start", event_id=start_id)
        else:
            self._report_to_parent(run, "subagent_start")
        continues = answered or (answered is None and has_waited)
        self._report_once(run, "answered" if continues else "prompt")
        return run

    def end(self, run: AgentRun, event_type: str, error: str | None = None) -> None:
        """Report the end of a turn: "stop", "error", "interrupt", or "waiting" for a person.

        A run that does not keep its session, like that of every subagent, also ends the session. A
        failed run does not, so that its error stays visible.
        """
        self._run_ids.release(run.agent_id, waiting=event_type == "waiting")
        if event_type == "waiting":
            return
        extra = None if error is None else {"error": error[:64]}
        if run.parent is None or event_type != "stop":
            self._report_once(run, event_type, extra=extra)
        if run.parent is not None:
            self._report_to_parent(run, "subagent_stop")
        if event_type != "error" and (run.parent is not None or not run.keeps_session):
            self._report_once(run, "session_end")

    def end_session(self, run: AgentRun) -> None:
        """Report the end of a session that outlived its run."""
        self._report_once(run, "session_end")

    def request_input(self, run: AgentRun, tool_name: str | None, number: int = 0) -> None:
        """Report that a person must decide about a tool call; None: about something else."""
        key = shorten_id(f"{self._source}:{run.key}:ask:{number}")
        if tool_name is not None:
            self._report(run, "permission_request", tool_name=string(tool_name), event_id=key)
        else:
            extra = {"notification_type": "agent_needs_input"}
            self._report(run, "notification", extra=extra, event_id=key)

    def tool_start(
        self, run: AgentRun, key: str, call_id: str, name: str, input_hash: int | None = None
    ) -> None:
        """Report the start of a tool call; ``input_hash``: as in Event, None: not known yet."""
        self._report(
            run,
            "tool_start",
            tool_name=string(name) or "tool",
            tool_use_id=shorten_id(call_id),
            input_hash=input_hash,
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
        input_hash: int | None = None,
    ) -> None:
        """Report the end of a tool call; ``error``: the type of its error, None: it succeeded."""
        self._report(
            run,
            "tool_execute" if error is None else "tool_error",
            tool_name=string(name) or "tool",
            tool_use_id=shorten_id(call_id),
            status="ok" if error is None else "error",
            duration_ms=_milliseconds(seconds),
            input_hash=input_hash,
            extra=None if error is None else {"error": error[:64]},
            event_id=shorten_id(f"{self._source}:{key}:tool_end"),
        )

    def tool_denied(self, run: AgentRun, key: str, call_id: str, name: str) -> None:
        """Report that a person denied a tool call."""
        self._report(
            run,
            "answered",
            tool_name=string(name) or "tool",
            tool_use_id=shorten_id(call_id),
            extra={"decision": "denied"},
            event_id=shorten_id(f"{self._source}:{key}:denied"),
        )

    def completion(
        self,
        run: AgentRun,
        key: str,
        model: object,
        tokens: TokenCounts,
        seconds: float,
        terms: Mapping[str, Any] | None = None,
    ) -> None:
        """Report a completion of a model.

        Args:
            terms: what else its price depends on, see ``request_terms``; None: nothing is known.
        """
        self._report(
            run,
            "completion",
            model=string(model),
            duration_ms=_milliseconds(seconds),
            event_id=shorten_id(f"{self._source}:{key}:answer"),
            **(terms or {}),
            **tokens,
        )

    def activity(self, run: AgentRun, key: str, **details: Any) -> None:
        """Report any other activity, with the details that are not None."""
        extra = {name: value for name, value in details.items() if value is not None}
        self._report(
            run, "activity", extra=extra or None, event_id=shorten_id(f"{self._source}:{key}:note")
        )

    def _report_to_parent(self, run: AgentRun, event_type: str) -> None:
        if run.parent is not None:
            extra = {"child_agent_id": run.agent_id}
            key = shorten_id(f"{self._source}:{run.key}:{event_type}")
            self._report(run.parent, event_type, extra=extra, event_id=key)

    def _report_once(self, run: AgentRun, event_type: str, **fields: Any) -> None:
        """Report an event that occurs at most once in a run."""
        key = shorten_id(f"{self._source}:{run.key}:own:{event_type}")
        self._report(run, event_type, event_id=key, **fields)

    def _report(self, run: AgentRun, event_type: str, **fields: Any) -> None:
        parent = None if run.parent is None else run.parent.agent_id
        self._sdk.report(
            event_type,
            agent_id=run.agent_id,
            session_id=run.session_id,
            parent_agent_id=parent,
            source=self._source,
            agent_kind=self._source,
            **fields,
        )


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1_000))
