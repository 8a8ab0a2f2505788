"""Goose's OpenTelemetry spans, as sent by version 1.52.0.

They follow the conventions for generative AI, so ``otel/span_events.py`` reads them. Its logs
repeat them in prose and are not read. Source: crates/goose/src/otel of aaif-goose/goose, and
recorded spans.
"""

from __future__ import annotations

from ..telemetry import AgentTelemetry

TELEMETRY = AgentTelemetry(
    log_prefix="goose.",
    logs={},
    token_metrics={},
    span_names=(),
    agent_spans=("goose",),
    inner_runs=("reply_stream",),
)
