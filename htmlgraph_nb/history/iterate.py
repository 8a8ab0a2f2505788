"""Load stored history in chunks, as typed pandas DataFrames."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..local_zone import Zone, resolve_zone
from .arguments import (
    LoadingBar,
    NameFilter,
    TimeLike,
    build_query,
    select_columns,
    suggest_arguments,
    to_integer,
)
from .frame_builder import FrameBuilder
from .sources import Sources, list_sources, query_source
from .tables import READ_ROWS, SOURCE_NAME, query_several, source_column


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
    named, several = list_sources(source)
    left, total = query.limit, None
    batch_rows = min(READ_ROWS, chunk_rows)
    if several:
        names = tuple(query.columns)
        parts = query_several(named, token, query, batch_rows)
    else:
        [(name, location)] = named.items()
        result = query_source(location, token, query, batch_rows)
        names, total = result.columns, None if query.value_filters else result.max_rows
        parts = ((name, batch) for batch in result.batches)

    def chunk() -> pd.DataFrame:
        frame = select_columns(builder.frame(), columns)
        if several:
            frame[SOURCE_NAME] = source_column(sizes)
        frame.attrs["source"] = [*named.values()] if several else location
        return frame

    builder, sizes = FrameBuilder(names, zone=zone), list[tuple[str, int]]()
    with LoadingBar(progress, " rows", total, "history") as bar:
        for name, batch in parts:
            used = 0
            while used < len(batch) and left != 0:
                room = chunk_rows - builder.n_rows
                part = batch.slice(used, room if left is None else min(room, left))
                used += len(part)
                left = None if left is None else left - len(part)
                builder.add(part)
                sizes.append((name, len(part)))
                bar.update(len(part))
                if builder.n_rows == chunk_rows:
                    yield chunk()
                    builder, sizes = FrameBuilder(names, zone=zone), []
            if left == 0:
                break
    if builder.n_rows:
        yield chunk()
