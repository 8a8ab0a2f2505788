"""The usage windows of the account in Codex's session files; see ``session``.

Each ``token_count`` contains ``rate_limits``: two windows with the percentage used, their length
and their end, the plan, and ``limit_id`` for the limits that some models have of their own. Seen in
0.125 to 0.147; ``info`` beside it can be null.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..fields import mapping, safe_keyword
from ..usage_windows import UsageWindow, quota_extra, usage_window
from .constants import AGENT
from .lines import Record

_WINDOWS = ("primary", "secondary")
_MAX_ACCOUNTS = 16
_FULL_PERCENT = 100


@dataclass(slots=True)
class UsageLimits:
    """The last report of each limit: name of the account or limit → its windows."""

    _windows: dict[str, list[UsageWindow]] = field(default_factory=dict)

    def changes(self, limits: Record) -> dict[str, Any] | None:
        """Return the ``extra`` of a quota event if a window changed since the last report."""
        windows = []
        for name in _WINDOWS:
            record = mapping(limits.get(name))
            window = usage_window(
                record.get("window_minutes"), record.get("used_percent"), record.get("resets_at")
            )
            windows += [] if window is None else [window]
        account = safe_keyword(limits.get("limit_id")) or AGENT
        before = self._windows.get(account)
        is_same = before is not None and len(before) == len(windows)
        if not windows or (is_same and all(map(UsageWindow.is_like, windows, before or ()))):
            return None
        if before is None and len(self._windows) >= _MAX_ACCOUNTS:
            return None
        self._windows[account] = windows
        return quota_extra(account, limits.get("plan_type"), windows)

    def full_until(self) -> datetime | None:
        """Return when the last of the used up windows ends; None: unknown."""
        ends = [
            window.resets_at
            for windows in self._windows.values()
            for window in windows
            if window.used_percent >= _FULL_PERCENT and window.resets_at is not None
        ]
        return max(ends, default=None)
