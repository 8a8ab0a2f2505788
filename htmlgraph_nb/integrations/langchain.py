"""A callback handler for LangChain and LangGraph.

Written for ``BaseCallbackHandler`` of langchain-core 1.x and ``GraphCallbackHandler`` of LangGraph
1.x. It reports names, ids, durations and counts, and no prompts, completions, tool inputs or
results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

try:
    from langchain_core.callbacks import BaseCallbackHandler
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"the LangChain callback handler needs {error.name}, which is not installed: "
        "pip install langchain-core",
        name=error.name,
    ) from None

from ..coding_agents.fields import mapping
from ..sdk import SDK
from .default_sdk import default_sdk
from .guard import never_raises
from .langchain_runs import LangChainRuns
from .token_usage import TokenCounts, langchain_terms, langchain_tokens, model_output_tokens

if TYPE_CHECKING:
    _Base = BaseCallbackHandler
else:
    try:
        # LangGraph reports stops at a node only to handlers of this class.
        from langgraph.callbacks import GraphCallbackHandler as _Base
    except ImportError:
        _Base = BaseCallbackHandler

__all__ = ["HtmlgraphCallbackHandler"]


class HtmlgraphCallbackHandler(_Base):
    """Reports agents and graphs, their tools, completions, subgraphs and interrupts.

    One handler serves any number of concurrent runs, in threads and in an event loop.

    Args:
        agent_id: id of the invoked agent; None: the agent's own name, as given to ``create_agent``.
        sdk: the handle through which to report; None: the active one, else the handler's own.

    Example:
        >>> agent.invoke(question, {"callbacks": [HtmlgraphCallbackHandler()]})  # doctest: +SKIP
    """

    run_inline = True
    """Call the handler in order in an event loop, too; it never blocks."""

    def __init__(self, agent_id: str | None = None, *, sdk: SDK | None = None) -> None:
        super().__init__()
        self._runs = LangChainRuns(sdk or default_sdk("langchain"), agent_id)

    @never_raises
    def on_chain_start(self, serialized: Any, inputs: Any, **info: Any) -> None:
        """Handle the start of a chain or graph."""
        self._start("chain", serialized, info, inputs=inputs)

    @never_raises
    def on_chain_end(self, outputs: Any, **info: Any) -> None:
        """Handle the end of a chain or graph."""
        self._runs.end_chain(info["run_id"])

    @never_raises
    def on_chain_error(self, error: BaseException, **info: Any) -> None:
        """Handle the error, or the interrupt, of a chain or graph."""
        self._runs.end_chain(info["run_id"], error)

    @never_raises
    def on_tool_start(self, serialized: Any, input_str: Any, **info: Any) -> None:
        """Handle the start of a tool."""
        inputs = info.get("inputs")
        given = input_str if inputs is None else inputs
        self._start("tool", serialized, info, call_id=info.get("tool_call_id"), inputs=given)

    @never_raises
    def on_tool_end(self, output: Any, **info: Any) -> None:
        """Handle the result of a tool."""
        self._runs.end_tool(info["run_id"], failed=getattr(output, "status", None) == "error")

    @never_raises
    def on_tool_error(self, error: BaseException, **info: Any) -> None:
        """Handle the error, or the interrupt, of a tool."""
        self._runs.end_tool(info["run_id"], error)

    @never_raises
    def on_retriever_start(self, serialized: Any, query: Any, **info: Any) -> None:
        """Handle the start of a retriever."""
        self._start("retriever", serialized, info, inputs=query)

    @never_raises
    def on_retriever_end(self, documents: Any, **info: Any) -> None:
        """Handle the end of a retriever."""
        self._runs.end_retriever(info["run_id"])

    @never_raises
    def on_retriever_error(self, error: BaseException, **info: Any) -> None:
        """Handle the error of a retriever."""
        self._runs.end_retriever(info["run_id"], error)

    @never_raises
    def on_llm_start(self, serialized: Any, prompts: Any, **info: Any) -> None:
        """Handle a request to a text model."""
        self._start("model", serialized, info)

    @never_raises
    def on_chat_model_start(self, serialized: Any, messages: Any, **info: Any) -> None:
        """Handle a request to a chat model."""
        self._start("model", serialized, info)

    @never_raises
    def on_llm_end(self, response: Any, **info: Any) -> None:
        """Handle a completion."""
        self._end_model(info["run_id"], response)

    @never_raises
    def on_llm_error(self, error: BaseException, **info: Any) -> None:
        """Handle the error of a model, with the tokens of its partial response."""
        self._end_model(info["run_id"], info.get("response"), error)

    @never_raises
    def on_interrupt(self, event: Any) -> None:
        """Handle a graph that waits for a person."""
        self._runs.paused(event.run_id)

    def _start(self, kind: str, serialized: Any, info: Mapping[str, Any], **options: Any) -> None:
        self._runs.start(
            info["run_id"],
            info.get("parent_run_id"),
            _run_name(serialized, info),
            info.get("metadata"),
            kind=kind,
            **options,
        )

    def _end_model(self, run_id: object, response: Any, error: BaseException | None = None) -> None:
        model, tokens, terms = _model_and_tokens(response)
        self._runs.end_model(run_id, model, tokens, error, terms)


def _run_name(serialized: Any, info: Mapping[str, Any]) -> str:
    """Return the name that the run was given, else that of the object that runs."""
    fields = mapping(serialized)
    path = fields.get("id")
    last = path[-1] if isinstance(path, list) and path else None
    return str(info.get("name") or fields.get("name") or last or "agent")


def _model_and_tokens(response: Any) -> tuple[object, TokenCounts, dict[str, Any]]:
    """Return the model, the tokens and what else the price depends on of an LLMResult.

    If a request has several completions, each repeats the tokens of all: only the first is read.
    """
    output = getattr(response, "llm_output", None)
    model: object = mapping(output).get("model_name") or mapping(output).get("model")
    for generations in getattr(response, "generations", None) or ():
        for generation in generations:
            message = getattr(generation, "message", None)
            metadata = mapping(getattr(message, "response_metadata", None))
            model = metadata.get("model_name") or metadata.get("model") or model
            usage = getattr(message, "usage_metadata", None)
            if usage is not None:
                return model, langchain_tokens(usage), langchain_terms(metadata)
    return model, model_output_tokens(output), {}
