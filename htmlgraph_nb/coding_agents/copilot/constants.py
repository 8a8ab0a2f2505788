"""Constants of Copilot CLI's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "copilot"
SESSION_SOURCE = "copilot-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source",),
    "SessionEnd": ("reason",),
    "PreCompact": ("trigger",),
}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS = EXTRA_FIELDS
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"Stop", "SubagentStop", "SessionEnd"})
QUESTION_TOOLS = {"AskUserQuestion": "input", "exit_plan_mode": "plan"}
"""Tools that wait for the user → the kind of their request."""
CANNOT_WORK = {
    "quota": "usage_limited",
    "rate_limit": "rate_limited",
    "authentication": "signed_out",
    "authorization": "signed_out",
}
"""``errorType`` of a failed request → why the agent cannot work; other types: by HTTP status."""
