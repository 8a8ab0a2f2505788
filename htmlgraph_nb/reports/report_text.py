"""Reports as JSON values and CSV."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from .cost_report import CostReport

_FORMULA = tuple("=+-@\t\r'")


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON objects.

    Times are RFC 3339 with the offset of their zone; durations are whole milliseconds, and their
    names end in ``_ms``; missing values and NaN are null.
    """
    columns = {_json_name(table, name): _json_values(table[name]) for name in table.columns}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV with a header line; names and values as for ``json_rows``.

    Texts that begin as a formula get an apostrophe, as in exports of history.
    """
    values = {_json_name(table, name): _json_values(table[name]) for name in table.columns}
    texts = pd.DataFrame(values, dtype=object).map(_quote_formula)
    return texts.to_csv(index=False, lineterminator="\r\n")


def _quote_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def json_costs(report: CostReport, limit: int) -> dict[str, Any]:
    """Return a report of costs as a JSON object.

    Args:
        limit: most groups, those with the highest costs; the totals include the others.
    """
    groups = report.groups.head(limit)
    rows = report.rows
    if len(groups) < len(report.groups):
        keys = list(groups.columns[: _n_keys(groups)])
        rows = rows.merge(groups[keys], on=keys, how="inner") if keys else rows
    total = json_rows(report.total)
    return {
        "starts": [_iso(start) for start in report.starts],
        "total": total[0] if total else None,
        "periods": json_rows(report.periods),
        "groups": json_rows(groups),
        "n_groups": len(report.groups),
        "rows": json_rows(rows),
        "unpriced": json_rows(report.unpriced),
        "uncovered": json_rows(report.uncovered),
        "prices": report.prices,
        "notes": report.notes,
    }


def _n_keys(table: pd.DataFrame) -> int:
    return list(table.columns).index("answers")


def _json_name(table: pd.DataFrame, name: str) -> str:
    return f"{name}_ms" if table[name].dtype.kind == "m" else name


def _json_values(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [_iso(value) for value in column]
    if column.dtype.kind == "m":
        micros = column.to_numpy(dtype="timedelta64[us]")
        missing = np.isnat(micros)
        values = micros.view(np.int64) // 1_000
        return [None if gone else int(n) for n, gone in zip(values, missing, strict=True)]
    return [_plain(value) for value in column.astype(object)]


def _iso(value: datetime | Any) -> str | None:
    return None if pd.isna(value) else str(value.isoformat())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
