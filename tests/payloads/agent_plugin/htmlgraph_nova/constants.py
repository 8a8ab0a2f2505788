"""Loaded by htmlgraph-hook on every tool call: keep it free of imports."""

SENT_FIELDS = {"SessionStart": ("source",), "SessionEnd": ("reason",)}
HOOKS_AFTER_WRITE = frozenset({"Stop", "SessionEnd"})
