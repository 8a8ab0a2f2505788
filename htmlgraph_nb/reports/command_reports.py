"""Costs and sessions as plain values for ``htmlgraph-nb costs``, from a database or session files.

The command itself does not import pandas.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd

from ..analysis.blocks import blocks
from ..analysis.totals import sessions
from ..core.timestamps import to_rfc3339, utc_now
from ..errors import InvalidEvent
from ..history.arguments import resolve_time
from ..history.load import load_history
from ..history.sources import URL_SCHEMES, resolve_source
from ..history.transcripts import load_transcripts
from ..ingest.files.session_roots import folder_names, own_folders
from ..local_zone import resolve_zone
from ..storage.schema import HISTORY_COLUMNS
from .cost_report import cost_report
from .report_text import json_costs, json_rows

_UNUSED = frozenset({"event_id", "tool_use_id", "worktree", "pr"})
_ALL_GROUPS = 1_000_000


@dataclass(frozen=True, slots=True)
class CostSource:
    """Where the events come from, and which.

    Attributes:
        source: a database file, the URL of a server, or a Parquet or Arrow file. None: the database
            of this user; session files, if it does not exist.
        folder: read the session files below this folder instead. "": those of all agents of this
            user. None: no session files.
        token: secret of the server.
        since, until: times as the user typed them. None: no bound.
        tz: time zone of days, and of times without one. None: that of this machine.
    """

    source: str | None = None
    folder: str | None = None
    token: str | None = None
    since: str | None = None
    until: str | None = None
    tz: str | None = None

    def zone_name(self) -> str:
        """Return the name of the time zone.

        Raises:
            InvalidEvent: there is no such time zone.
        """
        return str(resolve_zone(self.tz or None))


def command_costs(source: CostSource, by: Sequence[str], freq: str | None) -> dict[str, Any]:
    """Return costs in the form of ``GET /api/costs``, with all groups.

    Args:
        by, freq: as for ``load_cost_report``.

    Raises:
        InvalidEvent: an argument is invalid.
        StoreError, ConnectError: the source cannot be read.
    """
    df, head, bounds = _load(source)
    report = cost_report(df, *bounds, tuple(by), freq, utc_now())
    return {**head, "by": list(by), "freq": freq, **json_costs(report, _ALL_GROUPS)}


def command_sessions(source: CostSource) -> dict[str, Any]:
    """Return sessions with those of their subagents, in the form of ``GET /api/sessions``.

    Raises: as ``command_costs``.
    """
    df, head, bounds = _load(source)
    return _with_costs(partial(sessions, subagents="include"), "sessions", df, head, bounds)


def command_blocks(source: CostSource, length: str, by: Sequence[str]) -> dict[str, Any]:
    """Return the windows of usage limits as ``blocks`` computes them, up to the current time.

    Args:
        length: length of a window, such as ``"5h"``.
        by: columns whose values have windows of their own.

    Raises: as ``command_costs``.
    """
    df, head, bounds = _load(source)
    windows = partial(blocks, length=length, by=tuple(by), now=utc_now())
    report = _with_costs(windows, "blocks", df, head, bounds)
    return {**report, "by": list(by), "length": length}


def _with_costs(
    function: Callable[[pd.DataFrame], pd.DataFrame],
    name: str,
    df: pd.DataFrame,
    head: Mapping[str, Any],
    bounds: tuple[datetime | None, datetime | None],
) -> dict[str, Any]:
    """Return the rows of a function, and of ``json_costs`` what is not about groups."""
    costs = json_costs(cost_report(df, *bounds, (), None, utc_now()), _ALL_GROUPS)
    kept = ("total", "unpriced", "uncovered", "prices")
    return {**head, name: json_rows(function(df)), **{key: costs[key] for key in kept}}


def _load(
    source: CostSource,
) -> tuple[pd.DataFrame, dict[str, Any], tuple[datetime | None, datetime | None]]:
    """Return the events, what describes them, and the range of time."""
    zone = source.zone_name()
    since = resolve_time(source.since, "--since", source.tz)
    until = resolve_time(source.until, "--until", source.tz)
    columns = [name for name in HISTORY_COLUMNS if name not in _UNUSED]
    folder, location = source.folder, ""
    if folder is None:
        location = resolve_source(source.source)
        is_missing = not location.startswith(URL_SCHEMES) and not os.path.exists(location)
        if source.source is None and is_missing:
            folder = ""
    if folder is None:
        df = load_history(
            location, token=source.token, since=since, until=until, columns=columns, tz=zone
        )
    else:
        own = own_folders() if not folder else {}
        location = folder or ", ".join(own)
        # An agent's folders are read together, as a session can be in several of them.
        agents = [None] if folder else list(dict.fromkeys(own.values()))
        df = _session_files(folder or None, agents, columns, since, until, zone)
    head = {
        "source": location,
        "session_files": df.attrs.get("files"),
        "broken_lines": df.attrs.get("broken_lines", 0),
        "skipped_files": len(df.attrs.get("skipped", ())),
        "tz": zone,
        "since": None if since is None else to_rfc3339(since),
        "until": None if until is None else to_rfc3339(until),
    }
    return df, head, (since, until)


def _session_files(
    folder: str | None,
    agents: Sequence[str | None],
    columns: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    zone: str,
) -> pd.DataFrame:
    frames = [
        load_transcripts(folder, agent=agent, since=since, until=until, columns=columns, tz=zone)
        for agent in agents
    ]
    if not frames:
        raise InvalidEvent(
            f"there are no session files: none of {folder_names()} exists; name a folder"
        )
    attrs = {name: sum(frame.attrs[name] for frame in frames) for name in ("files", "broken_lines")}
    attrs["skipped"] = [path for frame in frames for path in frame.attrs["skipped"]]
    # Dtypes of columns without any value would change those of the others.
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    for frame in filled:
        frame.attrs.clear()
    df = filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
    df.attrs.update(attrs)
    return df
