"""Copilot CLI's OpenTelemetry spans, as sent by version 1.0.102.

They follow the conventions for generative AI, so ``otel/span_events.py`` reads them. Copilot CLI
sends no logs, and its metrics name no session. Source:
https://docs.github.com/en/copilot/reference/enterprise-administrators/opentelemetry-reference and
recorded spans. ``github.copilot.cost`` is a multiplier, no amount in dollars.
"""

from __future__ import annotations

from ..telemetry import AgentTelemetry
from .lines import tool_name


def _tool_name(name: str) -> str:
    return tool_name({"toolName": name}) or name


TELEMETRY = AgentTelemetry(
    log_prefix="github.copilot.",
    logs={},
    token_metrics={},
    span_names=(),
    agent_spans=("github.copilot", "github-copilot"),
    span_tool_name=_tool_name,
)
