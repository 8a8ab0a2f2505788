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
