"""What every version of the message has had: said here once, by hand, for all tests."""

from __future__ import annotations

ORIGINAL_FIELDS = (
    "agent_id",
    "status",
    "current_feature_id",
    "last_tool_name",
    "last_activity",
    "total_tools_executed",
    "total_cost_tokens",
    "session_id",
)
"""The fields of a presence that are always there, in their order."""
