"""Constants of OpenCode's formats; ``htmlgraph-hook`` loads them on every call of the plugin."""

AGENT = "opencode"
SESSION_SOURCE = "opencode-session"
SENT_FIELDS: dict[str, tuple[str, ...]] = {
    "session.error": ("error", "status"),
    "session.retry": ("cannot_work", "attempt", "until"),
    "permission.replied": ("reply",),
}
"""Event of the plugin → its fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE: frozenset[str] = frozenset()
QUESTION_TOOLS = {"question": "input", "plan_exit": "plan", "plan_enter": "plan"}
"""Tools that wait for the user → the kind of their request."""
ABORTED = "MessageAbortedError"
CANNOT_WORK = {"ProviderAuthError": "signed_out"}
"""Name of an error → why the agent cannot work."""
