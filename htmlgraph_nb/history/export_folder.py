"""Export history to a folder of Parquet files by day, step by step.

At its end a step renames its files and then PROGRESS_FILE, which holds the last seq of the export.
The next step removes files of an interrupted one. So an export can be interrupted at any time and
continued later, and never has a row twice. The file is Parquet without rows, and holds the progress
as metadata, because polars reads all files of a folder and refuses other formats.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.timestamps import to_rfc3339
from ..core.validation import shorten
from ..errors import ConfigError, StoreDamaged
from ..storage.columnar.arrow_schema import select_schema
from ..storage.query import HistoryQuery
from ..storage.schema import EARLIER_COLUMNS, HISTORY_COLUMNS
from .export_writers import group_batches, parquet_options
from .sources import URL_SCHEMES

PROGRESS_FILE = os.path.join("day=__HIVE_DEFAULT_PARTITION__", "_progress.parquet")
"""The partition is that of no day (Hive's name for null), so that each file has one."""
EARLIER_PROGRESS_FILE = "_progress.json"
"""Progress of folders of earlier versions; replaced by the next export."""
_PROGRESS = b"htmlgraph.export"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Result of one export.

    Attributes:
        n_rows: number of rows written.
        n_files: number of files written.
        last_seq: last seq in the target; 0: it has no rows.
    """

    n_rows: int
    n_files: int
    last_seq: int


class ParquetFolder:
    """A folder for an export.

    Args:
        folder: path of the folder; created if missing.
        location: path or URL of the source.
        query: rows and columns to write.
    """

    def __init__(self, folder: str, location: str, query: HistoryQuery) -> None:
        self._folder = folder
        self._settings, self._since = _settings_of(location, query)
        named = tuple(query.columns)
        missing = tuple(name for name in ("seq", "timestamp") if name not in named)
        self._query = replace(query, columns=(*missing, *named))

    def extend(
        self,
        read: Callable[[HistoryQuery], Iterator[pa.RecordBatch]],
        step_rows: int,
        on_rows: Callable[[int], object],
    ) -> ExportResult:
        """Add the rows after the last seq of the folder; other arguments as ``export_history``.

        Args:
            read: returns the rows of a query in order.
        """
        os.makedirs(self._folder, exist_ok=True)
        progress = self._prepare()
        after, limit = progress["last_seq"], self._query.limit
        left = None if limit is None else limit - progress["n_rows"]
        if left is not None and left <= 0:
            return ExportResult(0, 0, after)
        query = replace(
            self._query,
            since=None if progress["since"] is None else datetime.fromisoformat(progress["since"]),
            after_seq=max(after, self._query.after_seq),
            limit=left,
        )
        n_rows = n_files = 0
        for batches in group_batches(_rows_after(read(query), after), step_rows):
            n_files += self._write_step(batches, progress)
            n_step = sum(map(len, batches))
            n_rows += n_step
            on_rows(n_step)
        return ExportResult(n_rows, n_files, progress["last_seq"])

    def _prepare(self) -> dict[str, Any]:
        """Return the progress of the folder, after removing the files of an interrupted step."""
        settings, since = self._settings, self._since
        path = os.path.join(self._folder, PROGRESS_FILE)
        try:
            progress = self._load(path)
            after = int(progress["last_seq"])
            # Earlier versions have fewer filters; those that they lack select all rows.
            old_settings = {**dict.fromkeys(settings), **progress["asked"]}
            old_since = progress["since"]
            progress["n_rows"] = int(progress["n_rows"])
        except FileNotFoundError:
            names = set(os.listdir(self._folder)) - {os.path.dirname(PROGRESS_FILE)}
            if names - {f"{EARLIER_PROGRESS_FILE}.part"}:
                raise ConfigError(
                    f"target: expected a new folder or one with an export, got {self._folder}; "
                    "pass another folder, or a file that ends in .parquet, .arrow or .csv"
                ) from None
            progress = {"last_seq": 0, "n_rows": 0, "asked": settings, "since": since}
            # Save it before the first file, so that the folder belongs to this export.
            self._save(progress)
            return progress
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise StoreDamaged(f"{path}: not readable ({error}); export to a new folder") from error
        old_columns = tuple(old_settings["columns"])
        if settings["columns"] == [*HISTORY_COLUMNS] and old_columns in EARLIER_COLUMNS:
            # All columns of an earlier version: the new files get the same.
            settings = {**settings, "columns": old_settings["columns"]}
            self._query = replace(self._query, columns=old_columns)
        wider = old_since is not None and (since is None or since < old_since)
        if old_settings != settings or wider:
            raise ConfigError(
                f"target: {self._folder} has an export of another query: since {old_since}, "
                f"{shorten(json.dumps(old_settings), 400)}; use the same query, or another folder"
            )
        for name, first in self._parts():
            if first > after or name.endswith(".part"):
                os.unlink(name)
        return progress

    def _load(self, path: str) -> dict[str, Any]:
        earlier = os.path.join(self._folder, EARLIER_PROGRESS_FILE)
        if os.path.exists(path):
            text = pq.read_schema(path).metadata[_PROGRESS]
        else:
            with open(earlier, "rb") as file:
                text = file.read()
        progress: dict[str, Any] = json.loads(text)
        return progress

    def _save(self, progress: dict[str, Any]) -> None:
        path = os.path.join(self._folder, PROGRESS_FILE)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        metadata = {_PROGRESS: json.dumps(progress).encode()}
        schema = select_schema(self._query.columns).with_metadata(metadata)
        try:
            with open(f"{path}.part", "wb") as file:
                pq.write_table(schema.empty_table(), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{path}.part", path)
        finally:
            # Left if the disk is full.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}.part")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._folder, EARLIER_PROGRESS_FILE))

    def _parts(self) -> Iterator[tuple[str, int]]:
        """Yield the path of each file with the first seq of its step."""
        for day in sorted(os.listdir(self._folder)):
            if day.startswith("day="):
                for name in sorted(os.listdir(os.path.join(self._folder, day))):
                    digits = name.removeprefix("part-").partition(".")[0]
                    if name.startswith("part-") and digits.isdecimal():
                        yield os.path.join(self._folder, day, name), int(digits)

    def _write_step(self, batches: list[pa.RecordBatch], progress: dict[str, Any]) -> int:
        table = pa.Table.from_batches(batches).unify_dictionaries()
        first, last = table["seq"][0].as_py(), table["seq"][-1].as_py()
        days = pc.strftime(table["timestamp"], format="%Y-%m-%d").dictionary_encode()
        days = days.unify_dictionaries().combine_chunks()
        names = []
        for day, code in sorted(
            (day, code) for code, day in enumerate(days.dictionary.to_pylist())
        ):
            name = os.path.join(self._folder, f"day={day}", f"part-{first:015d}.parquet")
            os.makedirs(os.path.dirname(name), exist_ok=True)
            rows = table.filter(pc.equal(days.indices, code))
            pq.write_table(rows, f"{name}.part", **parquet_options(self._query))
            names.append(name)
        for name in names:
            os.replace(f"{name}.part", name)
        progress.update(last_seq=last, n_rows=progress["n_rows"] + len(table))
        self._save(progress)
        return len(names)


def _rows_after(batches: Iterator[pa.RecordBatch], seq: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows after this seq, even if the source returns earlier ones."""
    for batch in batches:
        if batch.column("seq")[0].as_py() > seq:
            yield batch
        elif batch.column("seq")[-1].as_py() > seq:
            yield batch.filter(pc.greater(batch.column("seq"), seq))


def _settings_of(location: str, query: HistoryQuery) -> tuple[dict[str, Any], str | None]:
    """Return source and query without ``since`` as JSON, and ``since`` as a sortable string."""
    settings = asdict(query)
    since = settings.pop("since")
    if settings["until"] is not None:
        settings["until"] = to_rfc3339(settings["until"])
    # The name of this field in folders of earlier versions.
    settings["seqs"] = settings.pop("seq_range")
    is_url = location.startswith(URL_SCHEMES)
    settings["source"] = location if is_url else os.path.realpath(location)
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain, None if since is None else to_rfc3339(since)
