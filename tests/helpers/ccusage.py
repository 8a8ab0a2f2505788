"""Costs by day of ``htmlgraph-nb costs`` and of ccusage, in the same form.

Source of ccusage's format: the output of ``ccusage daily --json --by-agent`` 20.0.24 (npm).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Day = tuple[str, str]
"""Day and agent."""
Counts = dict[str, int]
KINDS = ("input", "output", "cache_write", "cache_read", "total")
AGENT_FOLDERS = {"claudecode": "claude", "codex": "codex", "gemini-cli": "gemini"}
"""Folder of a recording's agent → agent."""


def our_days(report: Mapping[str, Any]) -> dict[Day, Counts]:
    """Return the rows of ``htmlgraph-nb costs --daily --by kind --json``."""
    return {
        (row["timestamp"][:10], row["agent_kind"]): {
            "input": row["input"],
            "output": row["output"],
            "cache_write": row["cache_write_5m"] + row["cache_write_1h"],
            "cache_read": row["cache_read"],
            "total": row["total"],
        }
        for row in report["rows"]
    }


def ccusage_days(report: Mapping[str, Any]) -> dict[Day, Counts]:
    """Return the rows of ``ccusage daily --by-agent --json``.

    ccusage leaves Gemini CLI's thoughts out of its output, but not out of its total; here they are
    output, as they are billed.
    """
    days: dict[Day, Counts] = {}
    for day in report["daily"]:
        for row in day["agents"]:
            known = (row["inputTokens"], row["cacheCreationTokens"], row["cacheReadTokens"])
            output = row["outputTokens"]
            if row["agent"] == "gemini":
                output = row["totalTokens"] - sum(known)
            values = (known[0], output, known[1], known[2], row["totalTokens"])
            days[day["period"], row["agent"]] = dict(zip(KINDS, values, strict=True))
    return days


def differences(ours: Mapping[Day, Counts], theirs: Mapping[Day, Counts]) -> dict[Day, Counts]:
    """Return ours minus theirs, of the days and agents that differ."""
    none = dict.fromkeys(KINDS, 0)
    found = {}
    for day in sorted({*ours, *theirs}):
        left, right = ours.get(day, none), theirs.get(day, none)
        if left != right:
            found[day] = {kind: left[kind] - right[kind] for kind in KINDS}
    return found


def agent_home(home: Path, agent: str, name: str, session: Path) -> Path:
    """Copy a session file to where an agent keeps its sessions below a home folder.

    Args:
        name: unique name of the session.
        session: its file; a folder of the same name beside it holds those of its subagents.
    """
    target = {
        "claude": home / ".claude" / "projects" / name / f"{session.stem}.jsonl",
        "codex": home / ".codex" / "sessions" / "2026" / "01" / "01" / f"rollout-{name}.jsonl",
        "gemini": home / ".gemini" / "tmp" / name / "chats" / f"session-{name}.jsonl",
    }[agent]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(session, target)
    if session.with_suffix("").is_dir():
        shutil.copytree(session.with_suffix(""), target.with_suffix(""), dirs_exist_ok=True)
    return target
