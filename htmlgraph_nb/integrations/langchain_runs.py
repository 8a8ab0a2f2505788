"""Map the runs of LangChain and LangGraph to agents, tools and completions; imports neither.

A run without a parent is a turn of an agent. A graph below it is a separate agent; it is recognized
by its nodes, whose checkpoint namespace differs from that of the run that contains them. All other
runs belong to the agent that contains them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..coding_agents.fields import identifier, mapping, string
from ..coding_agents.input_key import hash_input
from ..sdk import SDK
from .agent_runs import AgentRun, AgentRuns
from .token_usage import TokenCounts

_SOURCE = "langchain"
MAX_RUNS = 10_000
_MAX_REQUESTS = 8
_SESSION_KEYS = ("thread_id", "session_id", "conversation_id")
_UNNAMED_GRAPH = "LangGraph"


@dataclass(slots=True, eq=False)
class _Run:
    """A run that has not ended.

    Attributes:
        agent: the agent in whose loop it runs.
        namespace: the checkpoint namespace.
        node: the graph's node in which it runs.
        is_turn: whether the run is the agent's turn.
        in_tool: whether it is a tool call of its agent, or runs inside one.
    """

    key: str
    kind: str
    parent: _Run | None
    agent: AgentRun
    name: str
    started_at: float
    namespace: str
    node: str | None
    call_id: str | None = None
    is_turn: bool = False
    in_tool: bool = False
    input_hash: int | None = None


class LangChainRuns:
    """Follows runs from start to end and reports them.

    Args:
        sdk: the handle through which to report.
        agent_id: the agent of the runs without a parent; None: each run's own name.
        clock: returns monotonic seconds.
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
        # Reentrant: the garbage collector can end an abandoned stream at any point.
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
        """Handle the start of a run.

        Args:
            kind: "chain", "tool", "retriever" or "model".
            call_id: the model's id of a tool call; None: use the run's id.
            inputs: the input of a chain, which shows whether it resumes a graph, or of a tool or
                retriever, of which a hash is reported.
        """
        with self._lock:
            key, values = str(run_id), mapping(metadata)
            parent = None if parent_run_id is None else self._runs.get(str(parent_run_id))
            namespace = _namespace(values, parent)
            node = string(values.get("langgraph_node"))
            if parent is None:
                agent = self._start_turn(key, name, values, inputs)
            else:
                if kind == "chain" and namespace != parent.namespace and not parent.is_turn:
                    self._promote(parent)
                agent = parent.agent
            in_tool = parent is not None and parent.in_tool
            run = _Run(key, kind, parent, agent, name, self._clock(), namespace, node)
            run.is_turn, run.in_tool = parent is None, in_tool or kind == "tool"
            run.call_id = identifier(call_id) or key
            while len(self._runs) >= MAX_RUNS:
                del self._runs[next(iter(self._runs))]
            self._runs[key] = run
            # A retriever inside a tool is part of the tool.
            if kind == "tool" or (kind == "retriever" and not in_tool):
                run.input_hash = hash_input(inputs)
                self._agents.tool_start(agent, key, run.call_id, name, run.input_hash)

    def end_chain(self, run_id: object, error: BaseException | None = None) -> None:
        """Handle the end of a chain or graph."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is not None:
                self._end(run, error)

    def end_tool(
        self, run_id: object, error: BaseException | None = None, *, failed: bool = False
    ) -> None:
        """Handle the end of a tool call; ``failed``: its result reports an error."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is None:
                return
            if _is_interrupt(error):
                # The tool did not run. After a person's answer it runs with the same id.
                self._record_requests(run, error)
            else:
                self._end_call(run, error, failed)
            if run.is_turn:
                self._end(run, error)

    def end_retriever(self, run_id: object, error: BaseException | None = None) -> None:
        """Handle the end of a retriever, which counts as a tool unless a tool called it."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is None:
                return
            if not run.in_tool:
                self._end_call(run, error, False)
            if run.is_turn:
                self._end(run, error)

    def end_model(
        self,
        run_id: object,
        model: object,
        tokens: TokenCounts,
        error: BaseException | None = None,
        terms: Mapping[str, Any] | None = None,
    ) -> None:
        """Handle a completion, or the error and the tokens of a failed one."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
            if run is None:
                return
            if error is None or tokens:
                seconds = self._clock() - run.started_at
                self._agents.completion(run.agent, run.key, model, tokens, seconds, terms)
            if error is not None:
                self._agents.activity(run.agent, run.key, error=type(error).__name__)
            if run.is_turn:
                self._end(run, error)

    def paused(self, run_id: object) -> None:
        """Handle a stop of a graph before or after a node, until a person resumes it."""
        with self._lock:
            run = self._runs.get(str(run_id))
            if run is not None and not run.agent.root.input_requests:
                run.agent.root.input_requests.append((run.agent, None))

    def _start_turn(
        self, key: str, name: str, metadata: Mapping[str, Any], inputs: object
    ) -> AgentRun:
        value = next(
            (metadata[name] for name in _SESSION_KEYS if metadata.get(name) is not None), None
        )
        session = None if value is None else identifier(str(value))
        resumes = type(inputs).__name__ == "Command" and getattr(inputs, "resume", None) is not None
        return self._agents.start(
            key,
            self._agent_id or name,
            session or key,
            keeps_session=session is not None,
            # A graph that stopped at a node is resumed without any input.
            answered=True if resumes else None if inputs is None else False,
        )

    def _promote(self, run: _Run) -> None:
        """Make a run that has been recognized as a graph a child of the agent that contains it."""
        name = run.name if run.name != _UNNAMED_GRAPH else run.node or run.name
        outer = run.agent
        run.agent = self._agents.start(run.key, name, outer.session_id, parent=outer)
        run.is_turn, run.in_tool = True, False

    def _end(self, run: _Run, error: BaseException | None) -> None:
        if _is_interrupt(error):
            self._record_requests(run, error)
        if not run.is_turn:
            return
        succeeded = error is None or _is_control_flow(error)
        # A person can answer once the outermost graph has stopped.
        is_outermost = run.agent.parent is None
        requests = run.agent.input_requests if succeeded and is_outermost else []
        for number, (agent, tool_name) in enumerate(requests):
            self._agents.request_input(agent, tool_name, number)
        if requests or _is_interrupt(error):
            self._agents.end(run.agent, "waiting")
        elif succeeded:
            self._agents.end(run.agent, "stop")
        elif isinstance(error, Exception) and type(error).__name__ != "CancelledError":
            self._agents.end(run.agent, "error", type(error).__name__)
        else:
            self._agents.end(run.agent, "interrupt")

    def _end_call(self, run: _Run, error: BaseException | None, failed: bool) -> None:
        error_type = None
        if error is not None and not _is_control_flow(error):
            error_type = type(error).__name__
        elif failed:
            error_type = "ToolError"
        seconds = self._clock() - run.started_at
        call_id = run.call_id or run.key
        self._agents.tool_end(
            run.agent, run.key, call_id, run.name, seconds, error_type, run.input_hash
        )

    def _record_requests(self, run: _Run, error: BaseException | None) -> None:
        """Record the requests of an interrupt, once, although it ends all runs that contain it."""
        root = run.agent.root
        interrupts = [
            interrupt
            for interrupt in _interrupts(error)
            if _interrupt_id(interrupt) not in root.interrupt_ids
        ]
        if not interrupts and root.input_requests:
            return
        root.interrupt_ids.update(map(_interrupt_id, interrupts))
        tools: list[str | None] = [
            name for interrupt in interrupts for name in _requested_tools(interrupt)
        ]
        for name in tools or [run.name if run.kind == "tool" else None]:
            request = (run.agent, name)
            if len(root.input_requests) < _MAX_REQUESTS and request not in root.input_requests:
                root.input_requests.append(request)


def _namespace(metadata: Mapping[str, Any], parent: _Run | None) -> str:
    """Return the checkpoint namespace of a run: the namespace of the node that contains it."""
    value = metadata.get("langgraph_checkpoint_ns")
    if isinstance(value, str):
        return value
    return "" if parent is None else parent.namespace


def _has_class_name(error: BaseException | None, name: str) -> bool:
    return any(base.__name__ == name for base in type(error).__mro__)


def _is_control_flow(error: BaseException | None) -> bool:
    """Return whether LangGraph raised the exception to leave a node, not because of an error."""
    return _has_class_name(error, "GraphBubbleUp")


def _is_interrupt(error: BaseException | None) -> bool:
    return _has_class_name(error, "GraphInterrupt")


def _interrupts(error: BaseException | None) -> list[object]:
    value = error.args[0] if error is not None and error.args else ()
    return list(value) if isinstance(value, list | tuple) else [value]


def _interrupt_id(interrupt: object) -> str:
    for name in ("id", "interrupt_id"):
        value = getattr(interrupt, name, None)
        if value is not None:
            return str(value)
    return str(id(interrupt))


def _requested_tools(interrupt: object) -> Iterable[str]:
    """Yield the tools that LangChain's human-in-the-loop middleware wants to run."""
    requests = mapping(getattr(interrupt, "value", None)).get("action_requests")
    for request in requests if isinstance(requests, list) else ():
        name = string(mapping(request).get("name"))
        if name is not None:
            yield name
