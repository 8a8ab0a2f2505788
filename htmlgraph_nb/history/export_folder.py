"""An export as a folder of Parquet files by day, which grows step by step.

Each step ends with the renaming of its files and of ``_progress.json``, which says up to which seq
the folder is complete; what a broken step left behind is removed by the next. So an export can be
interrupted at any moment, begun again later, and never has a row twice.
"""

from __future__ import annotations

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
from ..storage.query import HistoryQuery
from .place import SCHEMES

PROGRESS_FILE = "_progress.json"
"""Names that begin with ``_`` are left out by what reads folders of Parquet files."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What one export did.

    Attributes:
        n_rows: rows that it wrote.
        n_files: files that it wrote.
        last_seq: the target is complete up to this seq; 0: nothing was there to write.
    """

    n_rows: int
    n_files: int
    last_seq: int


class ParquetFolder:
    """A folder with an export, or for one.

    Args:
        folder: it may not exist yet.
        place: path or URL of the source.
        query: which rows and columns.
    """

    def __init__(self, folder: str, place: str, query: HistoryQuery) -> None:
        self._folder = folder
        self._asked, self._since = _question(place, query)
        named = tuple(query.columns)
        missing = tuple(name for name in ("seq", "timestamp") if name not in named)
        self._query = replace(query, columns=(*missing, *named))

    def extend(
        self,
        read: Callable[[HistoryQuery], Iterator[pa.RecordBatch]],
        step_rows: int,
        on_rows: Callable[[int], object],
    ) -> ExportResult:
        """Add the rows after the last one that the folder has; arguments as ``export_history``.

        Args:
            read: returns the rows of a query in order.
        """
        os.makedirs(self._folder, exist_ok=True)
        done = self._done()
        after, limit = done["last_seq"], self._query.limit
        left = None if limit is None else limit - done["n_rows"]
        if left is not None and left <= 0:
            return ExportResult(0, 0, after)
        query = replace(
            self._query,
            since=None if done["since"] is None else datetime.fromisoformat(done["since"]),
            after_seq=max(after, self._query.after_seq),
            limit=left,
        )
        n_rows = n_files = 0
        for batches in _steps(_beyond(read(query), after), step_rows):
            n_files += self._write_step(batches, done)
            n_step = sum(map(len, batches))
            n_rows += n_step
            on_rows(n_step)
        return ExportResult(n_rows, n_files, done["last_seq"])

    def _done(self) -> dict[str, Any]:
        """Return what the folder has, after what a broken step left behind is removed."""
        asked, since = self._asked, self._since
        path = os.path.join(self._folder, PROGRESS_FILE)
        try:
            with open(path, encoding="utf-8") as file:
                done: dict[str, Any] = json.load(file)
            after = int(done["last_seq"])
            before, since_then = done["asked"], done["since"]
            done["n_rows"] = int(done["n_rows"])
        except FileNotFoundError:
            if set(os.listdir(self._folder)) - {f"{PROGRESS_FILE}.part"}:
                raise ConfigError(
                    f"{self._folder} has files and no export; name a new folder, or a file that "
                    "ends in .parquet, .arrow or .csv"
                ) from None
            done = {"last_seq": 0, "n_rows": 0, "asked": asked, "since": since}
            # Before the first file: nobody else's shall be taken for a part of this.
            self._save(done)
            return done
        except (ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(
                f"{path} is not readable ({error}); export to a new folder"
            ) from error
        if before != asked or (since_then is not None and (since is None or since < since_then)):
            raise ConfigError(
                f"{self._folder} has an export of another question: since {since_then}, "
                f"{shorten(json.dumps(before), 400)}; ask the same, or name another folder"
            )
        for name, first in self._parts():
            if first > after or name.endswith(".part"):
                os.unlink(name)
        return done

    def _save(self, done: dict[str, Any]) -> None:
        path = os.path.join(self._folder, PROGRESS_FILE)
        with open(f"{path}.part", "w", encoding="utf-8") as file:
            json.dump(done, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.part", path)

    def _parts(self) -> Iterator[tuple[str, int]]:
        """Yield the paths of the files, each with the first seq of its step."""
        for day in sorted(os.listdir(self._folder)):
            if day.startswith("day="):
                for name in sorted(os.listdir(os.path.join(self._folder, day))):
                    digits = name.removeprefix("part-").partition(".")[0]
                    if name.startswith("part-") and digits.isdecimal():
                        yield os.path.join(self._folder, day, name), int(digits)

    def _write_step(self, batches: list[pa.RecordBatch], done: dict[str, Any]) -> int:
        table = pa.Table.from_batches(batches).unify_dictionaries()
        first, last = table["seq"][0].as_py(), table["seq"][-1].as_py()
        days = pc.strftime(table["timestamp"], format="%Y-%m-%d").dictionary_encode()
        days = days.unify_dictionaries().combine_chunks()
        texts = days.dictionary.to_pylist()
        written = []
        for place in sorted(range(len(texts)), key=texts.__getitem__):
            rows = table.filter(pc.equal(days.indices, place))
            name = os.path.join(self._folder, f"day={texts[place]}", f"part-{first:015d}.parquet")
            os.makedirs(os.path.dirname(name), exist_ok=True)
            pq.write_table(rows, f"{name}.part", compression="zstd")
            written.append(name)
        for name in written:
            os.replace(f"{name}.part", name)
        done.update(last_seq=last, n_rows=done["n_rows"] + len(table))
        self._save(done)
        return len(written)


def _beyond(batches: Iterator[pa.RecordBatch], seq: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows after this seq, whatever a source gives."""
    for batch in batches:
        if batch.column("seq")[0].as_py() > seq:
            yield batch
        elif batch.column("seq")[-1].as_py() > seq:
            yield batch.filter(pc.greater(batch.column("seq"), seq))


def _steps(batches: Iterator[pa.RecordBatch], step_rows: int) -> Iterator[list[pa.RecordBatch]]:
    step: list[pa.RecordBatch] = []
    for batch in batches:
        step.append(batch)
        if sum(map(len, step)) >= step_rows:
            yield step
            step = []
    if step:
        yield step


def _question(place: str, query: HistoryQuery) -> tuple[dict[str, Any], str | None]:
    """Return source and query as JSON, without ``since``, and that; RFC 3339 sorts as text."""
    asked = asdict(query)
    since = asked.pop("since")
    if asked["until"] is not None:
        asked["until"] = to_rfc3339(asked["until"])
    asked["source"] = place if place.startswith(SCHEMES) else os.path.realpath(place)
    found: dict[str, Any] = json.loads(json.dumps(asked))
    return found, None if since is None else to_rfc3339(since)
