"""Select the rows of a table of sessions."""

from __future__ import annotations

import pandas as pd
import pytest

from htmlgraph_nb.reports.session_report import _in_projects


@pytest.mark.parametrize(
    ("projects", "expected"), [([], []), (["shop", "~/work/shop", None], [True, True, False])]
)
def test_in_projects_takes_the_last_part_of_a_name(
    projects: list[str | None], expected: list[bool]
) -> None:
    """However the project is shown, and also in a table without rows."""
    table = pd.DataFrame({"project": projects, "cwd": [None] * len(projects)}, dtype="object")
    assert _in_projects(table, ["shop"]).tolist() == expected
