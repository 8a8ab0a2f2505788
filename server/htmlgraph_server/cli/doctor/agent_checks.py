"""Checks of the coding agents: their session files, their hooks, and what is not seen of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import datetime

from htmlgraph_nb.client.agent_view import span_text, visible_text
from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.hook.hook_problem import read_note
from htmlgraph_nb.ingest.session_files import find_sessions
from htmlgraph_nb.paths import hook_problem_file

from ..connect.agent_connection import connection_of
from ..connect_command import last_reports
from ..text_table import plural
from .finding import Finding

_NOTE_DAYS = 7
"""Age up to which the problem of a hook is shown."""


def check_agents(environ: Mapping[str, str], now: datetime) -> list[Finding]:
    """Return the findings about all agents.

    Args:
        environ: environment variables.
        now: the current time.
    """
    findings: list[Finding] = []
    try:
        reports = last_reports()
    except HtmlgraphError as error:
        findings.append(Finding("hooks", "problem", str(error)))
        reports = {}
    for agent in AGENTS.values():
        found = _check_files(agent, now)
        findings.append(found)
        is_used = found.level != "note" or _is_installed(agent)
        findings += _check_hooks(agent, environ, reports.get(agent.hook_source), is_used, now)
    return [*findings, *_hook_problem(now)]


def _hook_problem(now: datetime) -> list[Finding]:
    """Return the last input of a hook that could not be read as it was, if it is not long ago."""
    note = read_note(hook_problem_file())
    if note is None or now.timestamp() - note["at"] > _NOTE_DAYS * 86_400:
        return []
    age = span_text(max(0.0, now.timestamp() - note["at"]))
    hook = " ".join(str(note[name]) for name in ("agent", "hook") if name in note)
    return [
        Finding(
            "hooks", "note", visible_text(f"htmlgraph-hook, {age} ago ({hook}): {note['message']}")
        )
    ]


def _is_installed(agent: CodingAgent) -> bool:
    return any(shutil.which(name) for name in agent.commands)


def _check_files(agent: CodingAgent, now: datetime) -> Finding:
    area, folder = agent.name, agent.sessions_dir()
    if not os.path.isdir(folder):
        installed = "is installed, but " if _is_installed(agent) else ""
        return Finding(
            area, "note", f"{agent.label}: {installed}no session files, as there is no {folder}"
        )
    try:
        files, _ = find_sessions(folder, agent.name)
    except (HtmlgraphError, OSError) as error:
        return Finding(area, "problem", f"{agent.label}: cannot read {folder}: {error}")
    if not files:
        return Finding(area, "note", f"{agent.label}: no session files in {folder}")
    unreadable = [file.path for file in files if not os.access(file.path, os.R_OK)]
    if unreadable:
        return Finding(
            area,
            "problem",
            f"{agent.label}: {plural(len(unreadable), 'session file')} cannot be read: "
            f"{unreadable[0]}",
            "give this user the permission to read them",
        )
    newest = max(file.modified for file in files)
    age = span_text(max(0.0, now.timestamp() - newest))
    size = sum(file.size for file in files) / 1e6
    return Finding(
        area,
        "ok",
        f"{agent.label}: {plural(len(files), 'session file')} ({size:,.1f} MB) in {folder}, "
        f"last changed {age} ago",
    )


def _check_hooks(
    agent: CodingAgent,
    environ: Mapping[str, str],
    last: datetime | None,
    is_used: bool,
    now: datetime,
) -> list[Finding]:
    try:
        connection = connection_of(agent, environ, ".")
    except HtmlgraphError as error:
        return [Finding(agent.name, "problem", f"{agent.label}: {error}")]
    findings = [
        Finding(agent.name, "problem", f"{agent.label}: {problem.text}", problem.remedy)
        for problem in connection.problems
    ]
    if not connection.hooks and is_used:
        findings.append(
            Finding(
                agent.name,
                "note",
                f"{agent.label}: no hooks, so waits for your permission and ends of sessions are "
                "not seen",
                f"htmlgraph-nb connect {agent.name}",
            )
        )
    if findings or not connection.hooks:
        return findings
    where = ", ".join(connection.hooks)
    if last is None:
        note = f" {agent.hook_settings().note}" if agent.hook_settings().note else ""
        return [
            Finding(
                agent.name,
                "note",
                f"{agent.label}: hooks in {where} have never reported",
                f"start a new session.{note}",
            )
        ]
    age = span_text(max(0.0, (now - last).total_seconds()))
    return [Finding(agent.name, "ok", f"{agent.label}: hooks in {where}, last report {age} ago")]
