"""Load the session files of coding agents as a DataFrame, without a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from ..coding_agents.registry import DEFAULT_AGENT
from ..ingest.session_files import SessionFile, find_own_sessions, find_sessions, total_bytes
from ..ingest.session_tail import open_tail
from ..local_zone import Zone, resolve_zone
from ..storage.columnar.arrow_builder import ArrowBuilder
from ..storage.query import HistoryQuery
from .arguments import (
    LoadingBar,
    NameFilter,
    TimeLike,
    build_query,
    select_columns,
    suggest_arguments,
)
from .file_sources import filter_of
from .frame_builder import build_frame

MAX_NAMED_LINES = 1_000
"""Most broken lines that are listed; all are counted."""
_PART_BYTES = 64 << 20


@suggest_arguments
def load_transcripts(
    path: str | os.PathLike[str] | None = None,
    *,
    agent: str | None = None,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    event_types: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    progress: bool | None = None,
    titles: bool = True,
    tz: Zone = None,
) -> pd.DataFrame:
    """Return the events in session files of coding agents, oldest first; no server is needed.

    Session files of Claude Code, Codex and Gemini CLI can be read while they grow. Each completion
    counts once, however often it was written: while streaming, in resumed and forked sessions, and
    in files of subagents.

    Args:
        path: a folder, searched recursively, or one file. None: the folders in which ``agent``
            keeps its sessions, for Claude Code ``~/.claude/projects``.
        agent: only sessions of "claude", "codex" or "gemini". None: detect the agent by the content
            of each file.
        since, until, agents, sessions, tools, event_types, columns, limit, progress, tz: as for
            ``load_history``.

    Returns:
        One row per event with the dtypes of HISTORY_DTYPES, as from ``load_history``; ``seq``
        numbers the events of all files by time. ``agent_status`` and the columns after it are
        missing, because no server decided them; the analysis functions decide them when needed.
        ``attrs`` describes the files:

        - ``files``: number of session files read.
        - ``broken_lines``: number of lines that are not JSON objects; ``broken``: the first
          MAX_NAMED_LINES of them as ``path:line``.
        - ``unfinished``: files that end in an incomplete line, such as one being written.
        - ``skipped``: files that look like session files and are none, or cannot be read
          completely; ``skip_reasons``: path → why.

    Raises:
        InvalidEvent: ``path`` does not exist, or an argument is invalid.
    """
    query = build_query(
        *(since, until, columns, limit),
        agents=agents,
        sessions=sessions,
        tools=tools,
        event_types=event_types,
    )
    zone = resolve_zone(tz)
    if path is None:
        files, skipped = find_own_sessions(agent or DEFAULT_AGENT)
    else:
        files, skipped = find_sessions(path, agent)
    since_s = 0.0 if query.since is None else query.since.timestamp()
    # A file last written before ``since`` has no later event.
    files = [file for file in files if file.modified >= since_s]
    builder, attrs = _read(files, progress, titles)
    reasons = {**skipped, **attrs["skip_reasons"]}
    attrs |= {"skipped": sorted(reasons), "skip_reasons": dict(sorted(reasons.items()))}
    selected = _select(builder.to_arrow(), query)
    frame = build_frame(selected.to_batches(), query.columns, len(selected), zone)
    frame = select_columns(frame, columns)
    frame.attrs.update(attrs)
    return frame


def _read(
    files: Sequence[SessionFile], progress: bool | None, titles: bool
) -> tuple[ArrowBuilder, dict[str, Any]]:
    """Return the events of the files, and the ``attrs`` of the frame."""
    builder = ArrowBuilder()
    broken: list[str] = []
    unfinished: list[str] = []
    reasons: dict[str, str] = {}
    n_broken = 0
    with LoadingBar(progress, "B", total_bytes(files), "session files") as bar:
        for file in files:
            tail = open_tail(file, titles=titles)
            try:
                events = tail.read_to(file.size, part_bytes=_PART_BYTES, on_bytes=bar.update)
                builder.extend(events)
                builder.extend(tail.finish())
            except OSError as error:
                tail.problem = error.strerror or str(error)
            if tail.problem is not None:
                reasons[file.path] = tail.problem
            n_broken += tail.n_broken
            names = [f"{file.path}:{line}" for line in tail.broken[:MAX_NAMED_LINES]]
            broken += names[: MAX_NAMED_LINES - len(broken)]
            if tail.unfinished:
                unfinished.append(file.path)
    return builder, {
        "files": len(files),
        "broken_lines": n_broken,
        "broken": broken,
        "unfinished": unfinished,
        "skip_reasons": reasons,
    }


def _select(table: pa.Table, query: HistoryQuery) -> pa.Table:
    """Return the rows and columns that the query selects."""
    condition = filter_of(query, table.schema)
    if condition is not None:
        table = table.filter(condition)
    table = table.select(list(query.columns))
    return table if query.limit is None else table.slice(0, query.limit)
