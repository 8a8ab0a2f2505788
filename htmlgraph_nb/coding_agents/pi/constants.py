"""Constants of Pi's formats; ``htmlgraph-hook`` loads them on every report of the extension."""

AGENT = "pi"
SESSION_SOURCE = "pi-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source",),
    "SessionEnd": ("reason",),
    "Notification": ("notification_type",),
    "StopFailure": ("error",),
}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS: dict[str, tuple[str, ...]] = {**EXTRA_FIELDS, "Stop": ("stop_reason",)}
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"Stop", "StopFailure", "SessionEnd"})
CANNOT_WORK = {
    "usage_limit": "usage_limited",
    "rate_limit": "rate_limited",
    "authentication": "signed_out",
    "overloaded": "overloaded",
}
"""Error of StopFailure, a keyword of the extension → why the agent cannot work."""
