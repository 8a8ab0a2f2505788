"""The fields that every version of the presence message contains, listed for all tests."""

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
"""The fields of the first version, in their order; later versions only add fields."""
