"""The stored history and the present state as typed pandas DataFrames.

From a database file, a server, or Parquet and Arrow files: each gives the same columns and dtypes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from types import TracebackType
from typing import Any, SupportsIndex

import pandas as pd

from ..client.discovery import candidates
from ..client.rest import Rest
from ..core.model import PRESENCE_COLUMNS, AgentPresence
from ..core.validation import format_value
from ..errors import InvalidEvent
from ..storage.database import open_reader, sqlite_errors
from ..storage.query import HistoryQuery
from ..storage.schema import HISTORY_COLUMNS
from ..storage.transaction import presence_from_row
from .arguments import NameFilter, TimeLike, as_list, resolve_time
from .frame_builder import TIMESTAMP_DTYPE, FrameBuilder, dtype_of
from .place import SCHEMES, place_of
from .sources import query_source

HISTORY_DTYPES: dict[str, str] = {name: dtype_of(name) for name in HISTORY_COLUMNS}
"""dtype of each column of ``load_history``. ``timestamp`` is ``datetime64[us, UTC]``; ids, names,
models and ``status`` are categories, which are the texts that occur, sorted; counts are ``Int64``,
because each can be missing, and ``seq`` is ``int64``; ``cost_usd`` is ``float64`` with NaN where it
is missing; ``event_id``, ``tool_use_id`` and ``extra`` (JSON) are ``string`` backed by Arrow, which
is loaded without a Python object a value. ``agent_status``, ``agent_detail``, ``agent_reason``
(categories) and ``agent_attention`` (``boolean``) are the agent's presence after the event; all are
missing where it is not decided yet."""

_PRESENCE_CATEGORIES = (
    *("session_id", "feature_id", "model", "parent_agent_id", "project", "host"),
    *("current_feature_id", "last_tool_name", "detail"),
)
PRESENCE_DTYPES: dict[str, str] = {
    "agent_id": "string",
    "status": "category",
    "last_activity": TIMESTAMP_DTYPE,
    "since": TIMESTAMP_DTYPE,
    "total_tools_executed": "int64",
    "total_cost_tokens": "int64",
    "total_errors": "int64",
    "reason": "string",
    "attention": "bool",
    "cost_usd": "float64",
    "seq": "int64",
    **{name: "category" for name in _PRESENCE_CATEGORIES if name in PRESENCE_COLUMNS},
}
"""dtype of each column of ``load_presence``."""

_BATCH_ROWS = 131_072
_BAR_AFTER_S = 1.0


def load_history(
    source: str | os.PathLike[str] | None = None,
    *,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    features: NameFilter = None,
    event_types: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    progress: bool | None = None,
    token: str | None = None,
) -> pd.DataFrame:
    """Return stored events, oldest first.

    Args:
        source: a database file; a server's URL; a Parquet or Arrow file, or a folder of them as
            ``export_history`` makes it; None: ``HTMLGRAPH_URL``, else the file of the server that
            runs on this machine, else the default file.
        since, until: from and up to (not including) this time: an ISO text, a datetime, or how
            long ago as ``"2h"`` or a Timedelta; naive times are local; None: no bound.
        agents, sessions, tools, features, event_types: one name or several; None: all.
        columns: names of HISTORY_DTYPES; None: all.
        limit: most rows; None: all.
        progress: whether to show a progress bar; None: from the first second on.
        token: a server's secret; None: the one that is known for it.

    Returns:
        One row an event with the dtypes of HISTORY_DTYPES, also where there are no rows;
        ``attrs["source"]`` names where they are from.

    Raises:
        InvalidEvent: a time, a column or a number that cannot be read.
        StoreError: the file is missing, damaged or too new.
        ConnectError: the server does not answer, or refuses.
    """
    query = _query(since, until, agents, sessions, tools, features, event_types, columns, limit)
    place = place_of(source)
    answer = query_source(place, token, query, _BATCH_ROWS)
    builder = FrameBuilder(answer.columns, answer.most_rows or 0 if not query.value_filters else 0)
    total = None if query.value_filters else answer.most_rows
    with _Progress(progress, total) as bar:
        for batch in answer.batches:
            builder.add(batch)
            bar.add(len(batch))
    frame = builder.frame()
    if not answer.in_order:
        if not frame["seq"].is_monotonic_increasing:
            frame = frame.sort_values("seq", kind="stable", ignore_index=True)
        if query.limit is not None and len(frame) > query.limit:
            frame = _with_own_categories(frame.head(query.limit).copy())
    frame = _selected(frame, columns)
    frame.attrs["source"] = place
    return frame


def iter_history(
    source: str | os.PathLike[str] | None = None,
    *,
    chunk_rows: int = 500_000,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    features: NameFilter = None,
    event_types: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    progress: bool | None = None,
    token: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield stored events as DataFrames of ``chunk_rows`` rows, for more than memory holds.

    It begins to read with the first chunk. Arguments and errors are those of ``load_history``.

    Args:
        chunk_rows: rows of each chunk, the last one of what is left; memory holds about two.

    Returns:
        Frames as of ``load_history``; each has the categories that occur in it. They are in the
        order of ``seq``, those of a folder of files in the order of its files.
    """
    chunk_rows = _whole(chunk_rows, "chunk_rows", 1) or 1
    query = _query(since, until, agents, sessions, tools, features, event_types, columns, limit)
    place = place_of(source)
    answer = query_source(place, token, query, min(_BATCH_ROWS, chunk_rows))
    left = query.limit
    builder = FrameBuilder(answer.columns)
    with _Progress(progress, None if query.value_filters else answer.most_rows) as bar:
        for batch in answer.batches:
            used = 0
            while used < len(batch) and left != 0:
                room = chunk_rows - builder.n_rows
                part = batch.slice(used, room if left is None else min(room, left))
                used += len(part)
                left = None if left is None else left - len(part)
                builder.add(part)
                bar.add(len(part))
                if builder.n_rows == chunk_rows:
                    yield _chunk(builder, columns, place)
                    builder = FrameBuilder(answer.columns)
            if left == 0:
                break
    if builder.n_rows:
        yield _chunk(builder, columns, place)


def _chunk(builder: FrameBuilder, columns: NameFilter, place: str) -> pd.DataFrame:
    frame = _selected(builder.frame(), columns)
    frame.attrs["source"] = place
    return frame


def _query(
    since: TimeLike,
    until: TimeLike,
    agents: NameFilter,
    sessions: NameFilter,
    tools: NameFilter,
    features: NameFilter,
    event_types: NameFilter,
    columns: NameFilter,
    limit: int | None,
) -> HistoryQuery:
    wanted = as_list(columns)
    return HistoryQuery(
        since=resolve_time(since, "since"),
        until=resolve_time(until, "until"),
        agents=as_list(agents),
        sessions=as_list(sessions),
        tools=as_list(tools),
        features=as_list(features),
        event_types=as_list(event_types),
        # Rows are counted by a column, even where none is wanted.
        columns=HISTORY_COLUMNS if wanted is None else tuple(dict.fromkeys(wanted)) or ("seq",),
        limit=_whole(limit, "limit", 0),
    )


def _whole(value: Any, name: str, least: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or index(value) < least:
        raise InvalidEvent(
            f"{name}: expected an integer >= {least}, got {format_value(value)}", name
        )
    return index(value)


def _selected(frame: pd.DataFrame, columns: NameFilter) -> pd.DataFrame:
    wanted = [*HISTORY_COLUMNS] if columns is None else as_list(columns) or []
    return frame if list(frame.columns) == wanted else frame[wanted]


def _with_own_categories(frame: pd.DataFrame) -> pd.DataFrame:
    for name in frame.columns:
        if HISTORY_DTYPES[name] == "category":
            frame[name] = frame[name].cat.remove_unused_categories()
    return frame


class _Progress:
    """A bar of tqdm over rows, made when it is to be seen.

    Args:
        wanted: None: from the first second on.
        total: rows; None: not known.
    """

    def __init__(self, wanted: bool | None, total: int | None) -> None:
        self._wanted = wanted
        self._total = total
        self._since = time.monotonic()
        self._n_rows = 0
        self._bar: Any = None

    def add(self, n_rows: int) -> None:
        self._n_rows += n_rows
        if self._wanted is False:
            return
        if self._bar is not None:
            self._bar.update(n_rows)
        elif self._wanted or time.monotonic() - self._since > _BAR_AFTER_S:
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=self._total,
                initial=self._n_rows,
                desc="history",
                unit=" rows",
                unit_scale=True,
                leave=bool(self._wanted),
            )

    def __enter__(self) -> _Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def load_presence(
    source: str | os.PathLike[str] | None = None, *, token: str | None = None
) -> pd.DataFrame:
    """Return what is known of every agent now; arguments and errors as in ``load_history``.

    Returns:
        One row an agent with the dtypes of PRESENCE_DTYPES.
    """
    place = place_of(source)
    if place.startswith(SCHEMES):
        return presence_frame(Rest(lambda: candidates(place, token)).presence().values())
    db = open_reader(place)
    try:
        with sqlite_errors(place):
            text = f"SELECT {', '.join(PRESENCE_COLUMNS)} FROM agent_presence ORDER BY agent_id"
            return presence_frame([presence_from_row(row) for row in db.execute(text)])
    finally:
        db.close()


def presence_frame(agents: Iterable[AgentPresence]) -> pd.DataFrame:
    """Return presences as a DataFrame with the dtypes of PRESENCE_DTYPES."""
    rows = [tuple(getattr(agent, name) for name in PRESENCE_COLUMNS) for agent in agents]
    return _frame(rows, PRESENCE_COLUMNS, PRESENCE_DTYPES)


def _frame(
    rows: Sequence[tuple[Any, ...]], names: Sequence[str], dtypes: Mapping[str, str]
) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pd.DataFrame(
        {name: _series(values, dtypes[name]) for name, values in zip(names, columns, strict=True)}
    )


def _series(values: Sequence[Any], dtype: Any) -> Any:
    if dtype == TIMESTAMP_DTYPE:
        return pd.Series(pd.to_datetime(list(values), utc=True)).astype(dtype)
    if dtype == "category":
        return pd.Series(list(values), dtype="string").astype("category")
    return pd.Series(list(values), dtype=dtype)
