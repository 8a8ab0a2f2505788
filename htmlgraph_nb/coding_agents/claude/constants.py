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
    "rate_limit": "rate_limited",
    "rate_limit_error": "rate_limited",
    "authentication_failed": "signed_out",
    "authentication_error": "signed_out",
    "oauth_org_not_allowed": "signed_out",
    "permission_error": "signed_out",
    "cloud_credential_error": "signed_out",
    "billing_error": "account_on_hold",
    "account_on_hold": "account_on_hold",
    "verification_required": "account_on_hold",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_error": "overloaded",
    "api_error": "overloaded",
    "timeout_error": "overloaded",
}
"""Error of StopFailure, of an API error line or of Anthropic's API → why the agent cannot work."""
