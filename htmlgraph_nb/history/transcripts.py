"""Coding agents' own session files as the frame of ``load_history``, without a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..coding_agents.registry import DEFAULT_AGENT
from ..core.validation import validate_count
from ..ingest.session_files import SessionFile, coding_agent, find_sessions, total_bytes
from ..ingest.session_tail import SessionTail
from ..storage.columnar.arrow_builder import ArrowBuilder
from ..storage.query import HistoryQuery
from ..storage.schema import HISTORY_COLUMNS
from .arguments import NameFilter, TimeLike, as_list, resolve_time
from .frame_builder import build_frame

MAX_NAMED_LINES = 1_000
"""Most broken lines that are named; all are counted."""
_BAR_DELAY_S = 1.0


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
) -> pd.DataFrame:
    """Return what coding agents' own session files tell, oldest first; no server is needed.

    The files of Claude Code, Codex and Gemini CLI are read, also while they are written. Each
    answer of a model counts once, however often it was written: as it streamed, in resumed and
    forked sessions, and in files of subagents.

    Args:
        path: a folder, searched to any depth, or one file; None: where ``agent`` keeps its
            sessions, of Claude Code ``~/.claude/projects``.
        agent: only the sessions of "claude", "codex" or "gemini"; None: of any, told by the
            files' content.
        since, until, agents, sessions, tools, event_types, columns, limit: as in
            ``load_history``.
        progress: show a bar; None: where it takes longer than a second.

    Returns:
        One row an event with the dtypes of HISTORY_DTYPES, as ``load_history`` gives them; ``seq``
        counts the events of all files in the order of time. What was left out is in ``attrs``:

        - ``files``: how many session files were read.
        - ``broken_lines``: number of lines that are not JSON objects; ``broken``: the first
          MAX_NAMED_LINES of them as ``path:line``.
        - ``unfinished``: files that end in a part of a line, as one that is being written.
        - ``skipped``: ``.jsonl`` files that are no session files or cannot be read.

    Raises:
        InvalidEvent: there is nothing at ``path``, or an argument cannot be read.
    """
    query = HistoryQuery(
        since=resolve_time(since, "since"),
        until=resolve_time(until, "until"),
        agents=as_list(agents),
        sessions=as_list(sessions),
        tools=as_list(tools),
        event_types=as_list(event_types),
        columns=HISTORY_COLUMNS if columns is None else tuple(as_list(columns) or ()),
        limit=None if limit is None else validate_count(limit, "limit"),
    )
    if path is None:
        path = coding_agent(agent or DEFAULT_AGENT.name).sessions_dir()
    files, skipped = find_sessions(path, agent)
    since_s = 0.0 if query.since is None else query.since.timestamp()
    # What was last written before it holds no later event.
    files = [file for file in files if file.modified >= since_s]
    table, attrs = _read(files, progress)
    attrs["skipped"] = sorted([*skipped, *attrs["skipped"]])
    selected = _selected(table.to_arrow(), query)
    frame = build_frame(selected.to_batches(), query.columns, len(selected))
    frame.attrs.update(attrs)
    return frame


def _read(
    files: Sequence[SessionFile], progress: bool | None
) -> tuple[ArrowBuilder, dict[str, Any]]:
    """Return the events of the files, and what could not be read of them."""
    table = ArrowBuilder()
    broken: list[str] = []
    unfinished: list[str] = []
    skipped: list[str] = []
    n_broken = 0
    with _bar(files, progress) as bar:
        for file in files:
            tail = SessionTail(file)
            try:
                table.extend(tail.read(final=True, on_bytes=bar.update))
            except OSError:
                skipped.append(file.path)
            n_broken += len(tail.broken)
            names = [f"{file.path}:{line}" for line in tail.broken[:MAX_NAMED_LINES]]
            broken += names[: MAX_NAMED_LINES - len(broken)]
            if tail.unfinished:
                unfinished.append(file.path)
    return table, {
        "files": len(files),
        "broken_lines": n_broken,
        "broken": broken,
        "unfinished": unfinished,
        "skipped": skipped,
    }


def _bar(files: Sequence[SessionFile], progress: bool | None) -> Any:
    from tqdm.auto import tqdm

    return tqdm(
        total=total_bytes(files),
        unit="B",
        unit_scale=True,
        desc="session files",
        delay=0.0 if progress else _BAR_DELAY_S,
        disable=progress is False,
        leave=bool(progress),
    )


def _selected(table: pa.Table, query: HistoryQuery) -> pa.Table:
    """Return the rows and columns that were asked for."""
    conditions = [
        pc.field(name).isin(values)
        for name, values in (
            ("agent_id", query.agents),
            ("session_id", query.sessions),
            ("tool_name", query.tools),
            ("event_type", query.event_types),
        )
        if values is not None
    ]
    if query.since is not None:
        conditions.append(pc.field("timestamp") >= _scalar(query.since))
    if query.until is not None:
        conditions.append(pc.field("timestamp") < _scalar(query.until))
    for condition in conditions:
        table = table.filter(condition)
    table = table.select(list(query.columns))
    return table if query.limit is None else table.slice(0, query.limit)


def _scalar(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))
