"""Load stored history in chunks, as typed pandas DataFrames."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..local_zone import Zone, resolve_zone
from .arguments import (
    NameFilter,
    TimeLike,
    build_query,
    select_columns,
    suggest_arguments,
    to_integer,
)
from .frame_builder import FrameBuilder
from .sources import Sources
from .tables import READ_ROWS, query_sources, read_rows, wanted_columns


@suggest_arguments
def iter_history(
    source: Sources = None,
    *,
    chunk_rows: int = 500_000,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    features: NameFilter = None,
    event_types: NameFilter = None,
    models: NameFilter = None,
    projects: NameFilter = None,
    hosts: NameFilter = None,
    branches: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    progress: bool | None = None,
    token: str | None = None,
    tz: Zone = None,
) -> Iterator[pd.DataFrame]:
    """Yield stored events as DataFrames of ``chunk_rows`` rows, for history larger than memory.

    Nothing is read before the first chunk is requested. Other arguments and errors are those of
    ``load_history``.

    Args:
        chunk_rows: rows of each chunk except the last. Memory holds about two chunks.

    Returns:
        DataFrames as from ``load_history``, each with its own categories. They are in order of
        ``seq``, or in order of the files for a folder of files. Several sources follow one after
        the other, each event once; for this memory grows by 8 bytes a row.
    """
    chunk_rows = to_integer(chunk_rows, "chunk_rows", 1) or 1
    query = build_query(
        *(since, until, columns, limit),
        agents=agents,
        sessions=sessions,
        tools=tools,
        features=features,
        event_types=event_types,
        models=models,
        projects=projects,
        hosts=hosts,
        branches=branches,
    )
    zone = resolve_zone(tz)
    result, attribute = query_sources(source, token, query, min(READ_ROWS, chunk_rows))
    names = wanted_columns(result, query)
    builder = FrameBuilder(names, zone=zone)

    def chunk() -> pd.DataFrame:
        frame = select_columns(builder.frame(), columns)
        frame.attrs["source"] = attribute
        return frame

    for batch in read_rows(result, query.limit, progress):
        used = 0
        while used < len(batch):
            part = batch.slice(used, chunk_rows - builder.n_rows)
            used += len(part)
            builder.add(part)
            if builder.n_rows == chunk_rows:
                yield chunk()
                builder = FrameBuilder(names, zone=zone)
    if builder.n_rows:
        yield chunk()
