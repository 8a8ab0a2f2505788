"""Constants of Gemini CLI's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "gemini"
SESSION_SOURCE = "gemini-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source",),
    "SessionEnd": ("reason",),
    "Notification": ("notification_type",),
}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS = EXTRA_FIELDS
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"AfterAgent", "SessionEnd"})
QUESTION_TOOLS = {"ask_user": "input", "exit_plan_mode": "plan"}
"""Tools that wait for the user → the kind of their request."""
