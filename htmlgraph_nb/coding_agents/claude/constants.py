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
    "PostModelSwitch": ("to_model", "source"),
    "PostToolUseFailure": ("is_interrupt",),
}
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"Stop", "SubagentStop", "SessionEnd"})
QUESTION_TOOLS = {"AskUserQuestion": "input", "ExitPlanMode": "plan"}
"""Tools that wait for the user → the kind of their request."""
