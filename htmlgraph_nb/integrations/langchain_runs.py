"""LangChain's and LangGraph's runs as agents, tools and answers; it loads neither of the two.

A run that nothing started is an agent's turn. Below it, a graph is an agent of its own: it is known
by its nodes, whose checkpoint namespace is another than that of the run that holds them. All other
runs belong to the agent around them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..coding_agents.fields import identifier, mapping, text
from ..sdk import SDK
from .agent_runs import AgentRun, AgentRuns
from .token_usage import TokenCounts

_SOURCE = "langchain"
MAX_RUNS = 10_000
_MAX_ASKED = 8
_SESSION_KEYS = ("thread_id", "session_id", "conversation_id")
_PLAIN_GRAPH = "LangGraph"


@dataclass(slots=True, eq=False)
class _Run:
    """One run that goes on.

    Attributes:
        agent: in whose loop it runs; ``own``: it is that agent's turn.
        place: the checkpoint namespace; ``node``: the graph's node in which it runs.
        in_tool: it is a tool of its agent, or runs inside of one.
    """

    key: str
    kind: str
    parent: _Run | None
    agent: AgentRun
    name: str
    began: float
    place: str
    node: str | None
    call_id: str | None = None
    own: bool = False
    in_tool: bool = False


class LangChainRuns:
    """Follows runs from their start to their end and reports what they are.

    Args:
        sdk: the handle through which it reports.
        agent_id: of the runs that nothing started; None: each goes by its own name.
        clock: seconds, only forward.
    """

    def __init__(
        self,
        sdk: SDK,
        agent_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agents = AgentRuns(sdk, _SOURCE)
        self._agent_id = agent_id
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        # A stream that nobody reads any more can end in the middle of anything.
        self._lock = threading.RLock()

    def start(
        self,
        run_id: object,
        parent_run_id: object,
        name: str,
        metadata: object,
        *,
        kind: str = "chain",
        call_id: object = None,
        inputs: object = None,
    ) -> None:
        """Take the start of a run.

        Args:
            kind: "chain", "tool", "retriever" or "model".
            call_id: the id that the model gave to a tool call; None: the run's.
            inputs: what a chain was given; only whether it resumes a graph is read.
        """
        with self._lock:
            key, facts = str(run_id), mapping(metadata)
            parent = None if parent_run_id is None else self._runs.get(str(parent_run_id))
            place = _place(facts, parent)
            node = text(facts.get("langgraph_node"))
            if parent is None:
                agent = self._begin(key, name, facts, inputs)
            else:
                if kind == "chain" and place != parent.place and not parent.own:
                    self._promote(parent)
                agent = parent.agent
            within = parent is not None and parent.in_tool
            run = _Run(key, kind, parent, agent, name, self._clock(), place, node)
            run.own, run.in_tool = parent is None, within or kind == "tool"
            run.call_id = identifier(call_id) or key
            while len(self._runs) >= MAX_RUNS:
                del self._runs[next(iter(self._runs))]
            self._runs[key] = run
            # What a tool looks up is a part of it.
            if kind == "tool" or (kind == "retriever" and not within):
                self._agents.tool_start(agent, key, run.call_id, name)

    def end_chain(self, run_id: object, error: BaseException | None = None) -> None:
        """Take the end of a chain or graph."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is not None:
                self._end(run, error)

    def end_tool(
        self, run_id: object, error: BaseException | None = None, *, failed: bool = False
    ) -> None:
        """Take the end of a tool; ``failed``: its result tells of an error."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is None:
                return
            if _is_interrupt(error):
                # It did not run: it will, under the same id, once a person has answered.
                self._wait(run, error)
            else:
                self._end_call(run, error, failed)
            if run.own:
                self._end(run, error)

    def end_retriever(self, run_id: object, error: BaseException | None = None) -> None:
        """Take the end of a retriever, which counts as a tool where none called it."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is None:
                return
            if not run.in_tool:
                self._end_call(run, error, False)
            if run.own:
                self._end(run, error)

    def end_model(
        self,
        run_id: object,
        model: object,
        tokens: TokenCounts,
        error: BaseException | None = None,
    ) -> None:
        """Take an answer of a model, or what there is of one that failed."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is None:
                return
            if error is None or tokens:
                taken = self._clock() - run.began
                self._agents.answer(run.agent, run.key, model, tokens, taken)
            if error is not None:
                self._agents.note(run.agent, run.key, error=type(error).__name__)
            if run.own:
                self._end(run, error)

    def paused(self, run_id: object) -> None:
        """Take a stop of a graph before or after a node, where a person lets it go on."""
        with self._lock:
            run = self._runs.get(str(run_id))
            if run is not None and not run.agent.root.asks:
                run.agent.root.asks.append((run.agent, None))

    def _begin(self, key: str, name: str, facts: Mapping[str, Any], inputs: object) -> AgentRun:
        told = next((facts[one] for one in _SESSION_KEYS if facts.get(one) is not None), None)
        session = None if told is None else identifier(str(told))
        resumes = type(inputs).__name__ == "Command" and getattr(inputs, "resume", None) is not None
        return self._agents.begin(
            key,
            self._agent_id or name,
            session or key,
            lasts=session is not None,
            # A graph that stopped at a node goes on with no input at all.
            answered=True if resumes else None if inputs is None else False,
        )

    def _promote(self, run: _Run) -> None:
        """Let a run that turned out to be a graph be an agent, a child of the one around it."""
        name = run.name if run.name != _PLAIN_GRAPH else run.node or run.name
        around = run.agent
        run.agent = self._agents.begin(run.key, name, around.session_id, parent=around)
        run.own, run.in_tool = True, False

    def _end(self, run: _Run, error: BaseException | None) -> None:
        if _is_interrupt(error):
            self._wait(run, error)
        if not run.own:
            return
        well = error is None or _is_control(error)
        # A person is asked once the whole graph has stopped.
        asks = run.agent.asks if well and run.agent.parent is None else []
        for number, (agent, tool_name) in enumerate(asks):
            self._agents.ask(agent, tool_name, number)
        if asks or _is_interrupt(error):
            self._agents.end(run.agent, "waiting")
        elif well:
            self._agents.end(run.agent, "stop")
        elif isinstance(error, Exception) and type(error).__name__ != "CancelledError":
            self._agents.end(run.agent, "error", type(error).__name__)
        else:
            self._agents.end(run.agent, "interrupt")

    def _end_call(self, run: _Run, error: BaseException | None, failed: bool) -> None:
        kind = None
        if error is not None and not _is_control(error):
            kind = type(error).__name__
        elif failed:
            kind = "ToolError"
        taken = self._clock() - run.began
        self._agents.tool_end(run.agent, run.key, run.call_id or run.key, run.name, taken, kind)

    def _wait(self, run: _Run, error: BaseException | None) -> None:
        """Remember for what an interrupt waits; each comes up through all runs around it."""
        root = run.agent.root
        interrupts = [one for one in _interrupts(error) if _id(one) not in root.asked]
        if not interrupts and root.asks:
            return
        root.asked.update(_id(one) for one in interrupts)
        asked_for: list[str | None] = [name for one in interrupts for name in _tools(one)]
        for name in asked_for or [run.name if run.kind == "tool" else None]:
            if len(root.asks) < _MAX_ASKED and (run.agent, name) not in root.asks:
                root.asks.append((run.agent, name))


def _place(facts: Mapping[str, Any], parent: _Run | None) -> str:
    """Return the checkpoint namespace of a run: that of the node that holds it."""
    found = facts.get("langgraph_checkpoint_ns")
    if isinstance(found, str):
        return found
    return "" if parent is None else parent.place


def _named(error: BaseException | None, name: str) -> bool:
    return any(one.__name__ == name for one in type(error).__mro__)


def _is_control(error: BaseException | None) -> bool:
    """Whether the exception is LangGraph's way to leave a node, and no fault."""
    return _named(error, "GraphBubbleUp")


def _is_interrupt(error: BaseException | None) -> bool:
    return _named(error, "GraphInterrupt")


def _interrupts(error: BaseException | None) -> list[object]:
    found = error.args[0] if error is not None and error.args else ()
    return list(found) if isinstance(found, list | tuple) else [found]


def _id(interrupt: object) -> str:
    for name in ("id", "interrupt_id"):
        found = getattr(interrupt, name, None)
        if found is not None:
            return str(found)
    return str(id(interrupt))


def _tools(interrupt: object) -> Iterable[str]:
    """Return the tools that LangChain's human-in-the-loop middleware asks about."""
    requests = mapping(getattr(interrupt, "value", None)).get("action_requests")
    for one in requests if isinstance(requests, list) else ():
        name = text(mapping(one).get("name"))
        if name is not None:
            yield name
