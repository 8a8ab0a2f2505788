"""Checks of the installation: versions, data, servers, ports and prices."""

from __future__ import annotations

import os
import platform
import socket
import sqlite3
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from importlib import metadata
from typing import Any

from htmlgraph_nb import __version__
from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.client.rest import Rest
from htmlgraph_nb.errors import HtmlgraphError, ServerNotFound
from htmlgraph_nb.ingest.files.session_roots import own_folders
from htmlgraph_nb.paths import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    current_db,
    data_dir,
    spool_path,
)
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

from ..text_table import plural
from .finding import Finding

_OLD_PRICES_DAYS = 60
_SECRETS = ("HTMLGRAPH_TOKEN",)
_MAX_SKIPPED = 5


def check_versions() -> list[Finding]:
    """Return the versions of this program and of what it stands on."""
    python = platform.python_version()
    text = f"htmlgraph-nb {__version__}, Python {python}, SQLite {sqlite3.sqlite_version}"
    findings = [Finding("versions", "ok", f"{text}, {platform.platform(terse=True)}")]
    findings.append(Finding("versions", "ok", f"runs from {sys.prefix}"))
    return findings


def check_environment(environ: Mapping[str, str]) -> list[Finding]:
    """Return the variables of this program that are set; secrets are not shown."""
    names = sorted(name for name in environ if name.startswith("HTMLGRAPH_"))
    shown = [f"{name}={'(set)' if name in _SECRETS else environ[name]}" for name in names]
    return [Finding("environment", "ok", f"set: {', '.join(shown)}")] if shown else []


def check_data() -> list[Finding]:
    """Return the findings about the data folder, the database and waiting reports of hooks."""
    folder, path = data_dir(), current_db()
    findings = []
    if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        findings.append(
            Finding("data", "problem", f"this user cannot write to {folder}", f"ls -ld {folder}")
        )
    if not os.path.exists(path):
        findings.append(
            Finding("data", "note", f"no database yet: {path}", "htmlgraph-nb serve creates it")
        )
    else:
        findings.append(_check_database(path))
    if os.name == "posix" and os.path.exists(path) and not os.path.islink(path):
        findings += _check_mode(path)
    n_reports = _spooled(spool_path())
    if n_reports:
        findings.append(
            Finding(
                "data",
                "note",
                f"{plural(n_reports, 'report')} of hooks wait for a server: {spool_path()}",
                "htmlgraph-nb serve reads them",
            )
        )
    return findings


def _check_database(path: str) -> Finding:
    try:
        with closing(open_reader(path)) as db, sqlite_errors(path):
            (newest,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM events").fetchone()
            (n_agents,) = db.execute("SELECT COUNT(*) FROM agent_presence").fetchone()
    except HtmlgraphError as error:
        return Finding("data", "problem", str(error), "htmlgraph-nb reset deletes it")
    size = os.path.getsize(path) / 1e6
    return Finding(
        "data",
        "ok",
        f"database {path}: {size:,.1f} MB, {newest:,} events, {plural(n_agents, 'agent')}",
    )


def _check_mode(path: str) -> list[Finding]:
    """Return whether other users of the machine can read the database."""
    if not os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return []
    folder = os.path.dirname(os.path.abspath(path))
    while folder != os.path.dirname(folder):
        if not os.stat(folder).st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            return []
        folder = os.path.dirname(folder)
    return [
        Finding(
            "data",
            "note",
            "other users of this machine can read the database",
            f"chmod 700 {os.path.dirname(os.path.abspath(path))}",
        )
    ]


def _spooled(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def check_server(rest: Rest) -> list[Finding]:
    """Return the findings about the server that answers, what it reads, and the default port."""
    try:
        report = rest.status_report()
    except ServerNotFound:
        return [
            Finding("server", "note", "no server runs", "htmlgraph-nb serve"),
            *_check_port(),
        ]
    except HtmlgraphError as error:
        return [Finding("server", "problem", str(error))]
    url = rest.server.address.url
    findings = [Finding("server", "ok", f"htmlgraph-nb {report['version']} at {url}")]
    if report["version"] != __version__:
        findings.append(
            Finding(
                "server",
                "note",
                f"it runs version {report['version']}, installed is {__version__}",
                "restart it",
            )
        )
    watching = report["watching"]
    if own_folders() and not watching["folders"]:
        findings.append(
            Finding(
                "server",
                "note",
                "it reads no session files, so only hooks, telemetry and SDKs are seen",
                "start it without --no-watch, and on the machine of the agents",
            )
        )
    elif watching["folders"]:
        text = f"it follows {plural(watching['files'], 'session file')}"
        findings.append(Finding("server", "ok", text))
    findings += _check_skipped_by_server(watching)
    # An older server reports no prices.
    notes = (report.get("prices") or {}).get("notes", ())
    findings += [Finding("prices", "note", visible_text(note)) for note in notes]
    return [*findings, *_check_prices_of(rest)]


def _check_skipped_by_server(watching: Mapping[str, Any]) -> list[Finding]:
    """Return what the server does not read; an older server does not report it."""
    findings = [
        Finding(
            "server",
            "note",
            f"of {visible_text(folder.partition('=')[2])} it reads only the session files that "
            "hooks name",
            f"start it with --session-folder {visible_text(folder)}",
        )
        for folder in watching.get("unfollowed", ())
    ]
    skipped = watching.get("skipped", {"count": 0, "files": []})
    named = skipped["files"][:_MAX_SKIPPED]
    findings += [
        Finding(
            "server",
            "note",
            f"it does not read {visible_text(file['path'])}: {visible_text(file['reason'])}",
        )
        for file in named
    ]
    if (n_more := skipped["count"] - len(named)) > 0:
        text = f"it does not read {plural(n_more, 'more file')}; see /api/status"
        findings.append(Finding("server", "note", text))
    return findings


def _check_prices_of(rest: Rest) -> list[Finding]:
    agents = [agent for agent in rest.presence().values() if agent.unpriced_tokens]
    if not agents:
        return []
    models = sorted({agent.model or "a model without a name" for agent in agents})
    return [
        Finding(
            "prices",
            "note",
            f"{plural(len(agents), 'agent')} used models without a known price: "
            f"{', '.join(models[:5])}",
            'pip install -U genai-prices; or token_costs(events, prices={"MODEL": …}) in Python',
        )
    ]


def _check_port() -> list[Finding]:
    """Return whether another program uses the default port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((DEFAULT_HOST, DEFAULT_PORT)) != 0:
            return []
    return [
        Finding(
            "server",
            "note",
            f"another program uses port {DEFAULT_PORT}",
            "htmlgraph-nb serve --port 0 picks a free one",
        )
    ]


def check_prices(today: date) -> list[Finding]:
    """Return the version and the age of the price table."""
    from htmlgraph_nb.pricing.genai_table import newest_change

    newest = newest_change(today)
    text = f"genai-prices {metadata.version('genai-prices')}, newest price of {newest}"
    days = (today - newest).days
    if days <= _OLD_PRICES_DAYS:
        return [Finding("prices", "ok", text)]
    return [
        Finding(
            "prices",
            "note",
            f"{text}, {days} days ago; newer models have no price",
            "pip install -U genai-prices",
        )
    ]


def worst_status(findings: Sequence[Finding]) -> int:
    """Return the exit status: 1 if there is a problem."""
    return int(any(finding.level == "problem" for finding in findings))
