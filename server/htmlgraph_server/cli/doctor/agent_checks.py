"""Checks of the coding agents: their session files, their hooks, and what is not seen of them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from datetime import datetime

from htmlgraph_nb.agent_check.coverage_table import coverage_rows, coverage_sentence
from htmlgraph_nb.client.agent_view import span_text, visible_text
from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.hook.hook_problem import read_note
from htmlgraph_nb.ingest.files.session_roots import folder_names, own_folders
from htmlgraph_nb.ingest.session_files import find_own_sessions
from htmlgraph_nb.paths import hook_problem_file

from ..connect.agent_connection import connection_of
from ..connect_command import last_reports
from ..text_table import plural
from .finding import Finding

_MAX_REASONS = 10
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
    coverage = {row.agent: row for row in coverage_rows()}
    for agent in AGENTS.values():
        found = _check_files(agent, now)
        findings += found
        is_used = found[0].level != "note" or _is_installed(agent)
        findings += _check_hooks(agent, environ, reports.get(agent.hook_source), is_used, now)
        if is_used and agent.name in coverage:
            text = coverage_sentence(coverage[agent.name])
            findings.append(Finding(agent.name, "ok", f"{agent.label}: {text}"))
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


def _check_files(agent: CodingAgent, now: datetime) -> list[Finding]:
    """Return what is found in the folders of an agent, then what of it is not read."""
    area = agent.name
    try:
        folders = list(own_folders(agent.name))
        if not folders and not folder_names(agent.name):
            return [Finding(area, "note", f"{agent.label}: has no session files to read")]
        if not folders:
            installed = "is installed, but " if _is_installed(agent) else ""
            text = f"{installed}no session files, as there is no {folder_names(agent.name)}"
            return [Finding(area, "note", f"{agent.label}: {text}")]
        files, skipped = find_own_sessions(agent.name)
    except (HtmlgraphError, OSError) as error:
        return [Finding(area, "problem", f"{agent.label}: {error}")]
    names = ", ".join(folders)
    if not files and not skipped:
        return [Finding(area, "note", f"{agent.label}: no session files in {names}")]
    found = Finding(area, "note", f"{agent.label}: no session files in {names}")
    if files:
        newest = max(file.modified for file in files)
        age = span_text(max(0.0, now.timestamp() - newest))
        size = sum(file.size for file in files) / 1e6
        text = f"{plural(len(files), 'session file')} ({size:,.1f} MB) in {names}"
        found = Finding(area, "ok", f"{agent.label}: {text}, last changed {age} ago")
    return [found, *_check_skipped(agent, skipped)]


def _check_skipped(agent: CodingAgent, skipped: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each reason for which files are not read, with an example."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in sorted(skipped.items()):
        by_reason.setdefault(reason, []).append(path)
    denied = os.strerror(errno.EACCES)
    return [
        Finding(
            agent.name,
            "problem" if denied in reason else "note",
            f"{agent.label}: {plural(len(paths), 'file')} cannot be read: {visible_text(paths[0])}"
            f"{' and more' if len(paths) > 1 else ''}: {visible_text(reason)}",
            "give this user the permission to read them" if denied in reason else "",
        )
        for reason, paths in list(by_reason.items())[:_MAX_REASONS]
    ]


def _check_hooks(
    agent: CodingAgent,
    environ: Mapping[str, str],
    last: datetime | None,
    is_used: bool,
    now: datetime,
) -> list[Finding]:
    if agent.hook_settings() is None:
        return []
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
        settings = agent.hook_settings()
        note = f" {settings.note}" if settings is not None and settings.note else ""
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
