"""Constants of Qwen Code's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "qwen"
SESSION_SOURCE = "qwen-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source", "agent_type"),
    "SessionEnd": ("reason",),
    "Notification": ("notification_type",),
    "Stop": ("background_tasks",),
    "StopFailure": ("error",),
    "PreCompact": ("trigger",),
    "PostCompact": ("trigger",),
}
"""Hook → its fields that are kept in ``extra``."""
_CALL = ("tool_call_id",)
SENT_FIELDS: dict[str, tuple[str, ...]] = {
    **EXTRA_FIELDS,
    **dict.fromkeys(("PreToolUse", "PostToolUse", "PermissionDenied"), _CALL),
    "PostToolUseFailure": (*_CALL, "is_interrupt"),
}
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"Stop", "StopFailure", "SubagentStop", "SessionEnd"})
QUESTION_TOOLS = {"ask_user_question": "input", "exit_plan_mode": "plan"}
"""Tools that wait for the user → the kind of their request."""
CANNOT_WORK = {
    "rate_limit": "rate_limited",
    "authentication_failed": "signed_out",
    "billing_error": "account_on_hold",
    "server_error": "overloaded",
}
"""Error of StopFailure → why the agent cannot work."""
