"""Constants of Codex's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "codex"
SESSION_SOURCE = "codex-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source",),
    "SessionEnd": ("reason",),
    "PreCompact": ("trigger",),
    "PostCompact": ("trigger",),
}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS = EXTRA_FIELDS
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"Stop", "SubagentStop", "SessionEnd", "Interrupt"})
QUESTION_TOOLS = {"request_user_input": "input"}
"""Tools that wait for the user → the kind of their request."""
CANNOT_WORK = {
    "usage_limit_exceeded": "usage_limited",
    "session_budget_exceeded": "usage_limited",
    "unauthorized": "signed_out",
    "server_overloaded": "overloaded",
    "internal_server_error": "overloaded",
    "http_connection_failed": "overloaded",
    "response_stream_connection_failed": "overloaded",
    "response_stream_disconnected": "overloaded",
    "response_too_many_failed_attempts": "overloaded",
}
"""Name in ``codex_error_info`` → why the agent cannot work, unless an HTTP status says more."""
