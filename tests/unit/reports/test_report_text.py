"""Reports as text."""

from __future__ import annotations

import csv
import io

import pandas as pd

from htmlgraph_nb.reports.report_text import csv_text


def test_csv_text_holds_no_formulas() -> None:
    """Names that begin as a formula are text; numbers stay numbers."""
    names = ["=1+1", "+x", "-3", "@A1", "\tx", "'q", "plain", None]
    table = pd.DataFrame({"title": names, "usd": [-1.5] * len(names)})
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert [row["title"] for row in rows] == [
        *(f"'{name}" for name in names[:6] if name is not None),
        "plain",
        "",
    ]
    assert {row["usd"] for row in rows} == {"-1.5"}
