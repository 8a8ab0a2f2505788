"""A tracing processor for the OpenAI Agents SDK.

Written for ``TracingProcessor`` and the span data of openai-agents 0.24. It reports names, ids,
durations and counts, and no prompts, completions, tool inputs or results.
"""

from __future__ import annotations

from typing import Any

try:
    from agents.tracing import Span, Trace, TracingProcessor
except ImportError as error:
    raise ImportError(
        f"the tracing processor needs the OpenAI Agents SDK, which cannot be imported ({error}): "
        "pip install openai-agents",
        name=error.name,
    ) from None

from ..sdk import SDK
from .default_sdk import default_sdk
from .guard import never_raises
from .openai_runs import OpenAIRuns

__all__ = ["HtmlgraphTracingProcessor"]


class HtmlgraphTracingProcessor(TracingProcessor):
    """Reports agents, their tools, completions, handoffs and guardrails.

    Args:
        sdk: the handle through which to report; None: the active one, else the processor's own.

    Example:
        >>> add_trace_processor(HtmlgraphTracingProcessor())  # doctest: +SKIP
    """

    def __init__(self, *, sdk: SDK | None = None) -> None:
        self._sdk = sdk or default_sdk("openai-agents")
        self._runs = OpenAIRuns(self._sdk)

    @never_raises
    def on_trace_start(self, trace: Trace) -> None:
        """Handle the start of a workflow."""
        self._runs.start_trace(trace)

    @never_raises
    def on_trace_end(self, trace: Trace) -> None:
        """Handle the end of a workflow."""
        self._runs.end_trace(trace)

    @never_raises
    def on_span_start(self, span: Span[Any]) -> None:
        """Handle the start of a span."""
        self._runs.start_span(span)

    @never_raises
    def on_span_end(self, span: Span[Any]) -> None:
        """Handle the end of a span."""
        self._runs.end_span(span)

    @never_raises
    def shutdown(self) -> None:
        """Deliver the queued events, for at most a second."""
        self._sdk.flush()

    @never_raises
    def force_flush(self) -> None:
        """Deliver the queued events, for at most a second."""
        self._sdk.flush()
