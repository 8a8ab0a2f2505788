"""Constants of Claude Code's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "claude"
SESSION_SOURCE = "claude-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source", "agent_type"),
    "SessionEnd": ("reason",),
    "Notification": ("notification_type",),
    "ElicitationResult": ("action",),
    "Stop": ("background_tasks", "session_crons"),
    "StopFailure": ("error",),
    "PostModelSwitch": ("source",),
    "PreCompact": ("trigger",),
    "PostCompact": ("trigger",),
}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS: dict[str, tuple[str, ...]] = {
    **EXTRA_FIELDS,
    "SessionStart": ("source", "agent_type", "context_tokens"),
    "PostModelSwitch": ("to_model", "source", "context_tokens"),
    "PostToolUseFailure": ("is_interrupt",),
}
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"Stop", "SubagentStop", "SessionEnd"})
QUESTION_TOOLS = {"AskUserQuestion": "input", "ExitPlanMode": "plan"}
"""Tools that wait for the user → the kind of their request."""
SUBAGENT_TOOLS = frozenset({"Agent", "Task"})
"""Tools that start a subagent: ``Task`` in older versions."""
CANNOT_WORK = {
    **dict.fromkeys(("rate_limit", "rate_limit_error"), "rate_limited"),
    **dict.fromkeys(
        ("authentication_failed", "authentication_error", "oauth_org_not_allowed"), "signed_out"
    ),
    **dict.fromkeys(("permission_error", "cloud_credential_error"), "signed_out"),
    **dict.fromkeys(
        ("billing_error", "account_on_hold", "verification_required"), "account_on_hold"
    ),
    **dict.fromkeys(("overloaded", "overloaded_error", "server_error"), "overloaded"),
    **dict.fromkeys(("api_error", "timeout_error"), "overloaded"),
}
"""Error of StopFailure, of an API error line or of Anthropic's API → why the agent cannot work."""
