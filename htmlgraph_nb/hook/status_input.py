"""What Claude Code passes to a status line, as fields of events and as text. Pure.

Source of the format: https://code.claude.com/docs/en/statusline. Every field may be missing or
null. Only the fields that are named here leave this process.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ACCOUNT = "claude"
WINDOWS = (("five_hour", "5h", 300), ("seven_day", "weekly", 10_080))
"""Field, name and minutes of each usage window."""
_USAGE = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_MAX_CHARS = 256
_MAX_COUNT = 2**53 - 1
_EARLIEST_S, _LATEST_S = 946_684_800, 7_258_118_400
_BAR_CELLS = 10
_SHOWN_AGENTS = 3
_SHOWN_CHARS = 40
_DAY_S = 86_400


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return value.replace("\0", "?").encode("utf-8", "replace").decode()[:_MAX_CHARS]


def _number(value: Any, largest: float = _MAX_COUNT) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Infinity and NaN, which JSON parsers accept, are no number here.
    return value if is_number and 0 <= value <= largest else None


def _path(value: Any) -> str | None:
    # A path that was cut would be another path.
    return _text(value) if isinstance(value, str) and len(value) <= _MAX_CHARS else None


def session_info(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a ``session_info`` event; {} if nothing is known.

    ``context_tokens`` are those of the last answer's prompt, of which Claude Code computes its
    percentage. The title may be generated: Claude Code does not say whether a person set it.
    """
    workspace, worktree = _object(status.get("workspace")), _object(status.get("worktree"))
    window = _object(status.get("context_window"))
    usage = _object(window.get("current_usage"))
    counts = [_number(usage.get(name)) for name in _USAGE]
    tokens = int(sum(count for count in counts if count is not None)) if any(counts) else None
    size = _number(window.get("context_window_size"))
    title = _text(status.get("session_name"))
    project = _text(workspace.get("project_dir")) or ""
    fields = {
        "title": title,
        "branch": _text(worktree.get("branch")),
        "cwd": _path(workspace.get("current_dir")) or _path(status.get("cwd")),
        "worktree": _text(worktree.get("name")) or _text(workspace.get("git_worktree")),
        "project": project.rstrip("/\\").replace("\\", "/").rpartition("/")[2],
        "pr": _pull_request(_object(status.get("pr"))),
        "context_tokens": tokens,
        "context_window": int(size) if size else None,
        "context_source": "reported" if size else None,
        "extra": {"title_generated": True} if title else None,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _pull_request(pr: Mapping[str, Any]) -> str | None:
    url, number = _text(pr.get("url")), _number(pr.get("number"))
    return url or (f"#{number:.0f}" if number else None)


def quota_windows(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the usage windows of the account as a ``quota`` event has them; often none."""
    limits = _object(status.get("rate_limits"))
    windows = []
    for field, name, minutes in WINDOWS:
        limit = _object(limits.get(field))
        used, resets_at = _number(limit.get("used_percentage"), 1_000), _reset(limit)
        if used is None:
            continue
        window = {"window": name, "minutes": minutes, "used_percent": float(used)}
        if resets_at is not None:
            clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(resets_at))
            window["resets_at"] = clock
        windows.append(window)
    return windows


def _reset(limit: Mapping[str, Any]) -> int | None:
    seconds = _number(limit.get("resets_at"))
    return int(seconds) if seconds and _EARLIEST_S <= seconds < _LATEST_S else None


def waiting_elsewhere(waiting: Sequence[Any], session_id: str) -> list[str]:
    """Return the names of the agents in the server's list that belong to other sessions."""
    names = []
    for item in waiting:
        agent = _object(item)
        name = _text(agent.get("title")) or _text(agent.get("agent_id"))
        if name and agent.get("session_id") != session_id:
            # A terminal interprets control characters.
            clean = "".join(char if char.isprintable() else " " for char in name)
            names.append(clean if len(clean) <= _SHOWN_CHARS else f"{clean[: _SHOWN_CHARS - 1]}…")
    return names


def status_text(status: Mapping[str, Any], waiting: Sequence[str], now: float) -> str:
    """Return a status line: context, usage windows, cost and the agents that wait elsewhere.

    Args:
        status: the JSON object on stdin; {} if there is none.
        waiting: names of the agents that wait.
        now: seconds since 1970.
    """
    parts = [
        _context_text(_object(status.get("context_window"))),
        *_limit_texts(_object(status.get("rate_limits")), now),
        _cost_text(_object(status.get("cost"))),
        _waiting_text(waiting),
    ]
    return " │ ".join(part for part in parts if part) or "htmlgraph-nb"


def _context_text(window: Mapping[str, Any]) -> str:
    percent = _number(window.get("used_percentage"), 1_000)
    if percent is None:
        return ""
    cells = min(_BAR_CELLS, round(percent * _BAR_CELLS / 100))
    size = _number(window.get("context_window_size"))
    of = f" of {_short(size)}" if size else ""
    return f"{'█' * cells}{'░' * (_BAR_CELLS - cells)} {percent:.0f}%{of}"


def _short(tokens: float) -> str:
    return f"{tokens / 1e6:g}M" if tokens >= 1_000_000 else f"{tokens / 1e3:.0f}k"


def _limit_texts(limits: Mapping[str, Any], now: float) -> list[str]:
    texts = []
    for field, name, _ in WINDOWS:
        limit = _object(limits.get(field))
        used, resets_at = _number(limit.get("used_percentage"), 1_000), _reset(limit)
        # After the reset the percentage is that of a window that is over.
        if used is None or (resets_at is not None and resets_at <= now):
            continue
        reset = ""
        if resets_at is not None:
            form = "%H:%M" if resets_at - now < _DAY_S else "%a %H:%M"
            reset = f", resets {time.strftime(form, time.localtime(resets_at))}"
        texts.append(f"{name} {used:.0f}%{reset}")
    return texts


def _cost_text(cost: Mapping[str, Any]) -> str:
    dollars = _number(cost.get("total_cost_usd"))
    return f"${dollars:.2f}" if dollars else ""


def _waiting_text(waiting: Sequence[str]) -> str:
    if not waiting:
        return ""
    shown = ", ".join(waiting[:_SHOWN_AGENTS])
    more = f", +{len(waiting) - _SHOWN_AGENTS}" if len(waiting) > _SHOWN_AGENTS else ""
    subject = "1 agent waits" if len(waiting) == 1 else f"{len(waiting)} agents wait"
    return f"{subject}: {shown}{more}"
