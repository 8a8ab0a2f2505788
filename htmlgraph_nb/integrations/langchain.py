"""A callback handler for LangChain and LangGraph.

Source: ``BaseCallbackHandler`` of langchain-core 1.x and ``GraphCallbackHandler`` of LangGraph 1.x.
Names, ids, durations and counts are reported; prompts, answers, tool inputs and results are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

try:
    from langchain_core.callbacks import BaseCallbackHandler
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed, and the callback handler needs it: "
        "pip install langchain-core",
        name=error.name,
    ) from None

from ..coding_agents.fields import mapping
from ..sdk import SDK
from .default_sdk import default_sdk
from .guard import never_raises
from .langchain_runs import LangChainRuns
from .token_usage import TokenCounts, langchain_tokens, model_output_tokens

if TYPE_CHECKING:
    _Base = BaseCallbackHandler
else:
    try:
        # LangGraph tells of stops at a node only to handlers of this kind.
        from langgraph.callbacks import GraphCallbackHandler as _Base
    except ImportError:
        _Base = BaseCallbackHandler

__all__ = ["HtmlgraphCallbackHandler"]


class HtmlgraphCallbackHandler(_Base):
    """Reports agents and graphs, their tools, answers, subgraphs and interrupts.

    One handler serves any number of runs at once, in threads and in an event loop.

    Args:
        agent_id: of the agent that is invoked; None: its own name, as that of ``create_agent``.
        sdk: the handle through which it reports; None: the one that is open around, else its own.

    Example:
        >>> agent.invoke(question, {"callbacks": [HtmlgraphCallbackHandler()]})  # doctest: +SKIP
    """

    run_inline = True
    """In an event loop, too, it is called in the order of what happens; it never waits."""

    def __init__(self, agent_id: str | None = None, *, sdk: SDK | None = None) -> None:
        super().__init__()
        self._runs = LangChainRuns(sdk or default_sdk("langchain"), agent_id)

    @never_raises
    def on_chain_start(self, serialized: Any, inputs: Any, **told: Any) -> None:
        """Take the start of a chain or graph."""
        self._start("chain", serialized, told, inputs=inputs)

    @never_raises
    def on_chain_end(self, outputs: Any, **told: Any) -> None:
        """Take the end of a chain or graph."""
        self._runs.end_chain(told["run_id"])

    @never_raises
    def on_chain_error(self, error: BaseException, **told: Any) -> None:
        """Take the failure, or the interrupt, of a chain or graph."""
        self._runs.end_chain(told["run_id"], error)

    @never_raises
    def on_tool_start(self, serialized: Any, input_str: Any, **told: Any) -> None:
        """Take the start of a tool."""
        self._start("tool", serialized, told, call_id=told.get("tool_call_id"))

    @never_raises
    def on_tool_end(self, output: Any, **told: Any) -> None:
        """Take the result of a tool."""
        self._runs.end_tool(told["run_id"], failed=getattr(output, "status", None) == "error")

    @never_raises
    def on_tool_error(self, error: BaseException, **told: Any) -> None:
        """Take the failure, or the interrupt, of a tool."""
        self._runs.end_tool(told["run_id"], error)

    @never_raises
    def on_retriever_start(self, serialized: Any, query: Any, **told: Any) -> None:
        """Take the start of a retriever."""
        self._start("retriever", serialized, told)

    @never_raises
    def on_retriever_end(self, documents: Any, **told: Any) -> None:
        """Take the end of a retriever."""
        self._runs.end_retriever(told["run_id"])

    @never_raises
    def on_retriever_error(self, error: BaseException, **told: Any) -> None:
        """Take the failure of a retriever."""
        self._runs.end_retriever(told["run_id"], error)

    @never_raises
    def on_llm_start(self, serialized: Any, prompts: Any, **told: Any) -> None:
        """Take a question to a text model."""
        self._start("model", serialized, told)

    @never_raises
    def on_chat_model_start(self, serialized: Any, messages: Any, **told: Any) -> None:
        """Take a question to a chat model."""
        self._start("model", serialized, told)

    @never_raises
    def on_llm_end(self, response: Any, **told: Any) -> None:
        """Take an answer."""
        self._answer(told["run_id"], response)

    @never_raises
    def on_llm_error(self, error: BaseException, **told: Any) -> None:
        """Take the failure of a model, with the tokens of what it answered before."""
        self._answer(told["run_id"], told.get("response"), error)

    @never_raises
    def on_interrupt(self, event: Any) -> None:
        """Take that a graph waits for a person."""
        self._runs.paused(event.run_id)

    def _start(self, kind: str, serialized: Any, told: Mapping[str, Any], **more: Any) -> None:
        self._runs.start(
            told["run_id"],
            told.get("parent_run_id"),
            _name_of(serialized, told),
            told.get("metadata"),
            kind=kind,
            **more,
        )

    def _answer(self, run_id: object, response: Any, error: BaseException | None = None) -> None:
        model, tokens = _told_by(response)
        self._runs.end_model(run_id, model, tokens, error)


def _name_of(serialized: Any, told: Mapping[str, Any]) -> str:
    """Return the name that the run was given, else that of what runs."""
    known = mapping(serialized)
    path = known.get("id")
    last = path[-1] if isinstance(path, list) and path else None
    return str(told.get("name") or known.get("name") or last or "agent")


def _told_by(response: Any) -> tuple[object, TokenCounts]:
    """Return the model and the tokens of an LLMResult.

    Several answers to one question repeat the tokens of all of them: the first is read.
    """
    output = getattr(response, "llm_output", None)
    model: object = mapping(output).get("model_name") or mapping(output).get("model")
    tokens: TokenCounts = {}
    for generations in getattr(response, "generations", None) or ():
        for generation in generations:
            message = getattr(generation, "message", None)
            facts = mapping(getattr(message, "response_metadata", None))
            model = facts.get("model_name") or facts.get("model") or model
            usage = getattr(message, "usage_metadata", None)
            if usage is not None:
                return model, langchain_tokens(usage)
    return model, tokens or model_output_tokens(output)
