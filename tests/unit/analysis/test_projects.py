"""Projects of the same name in frames, compared with a plain loop over the rows."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.analysis.columns import with_projects
from htmlgraph_nb.core.ids import project_folder, project_labels

AGENTS = ("a", "b", "c")
PROJECTS = ("api", "web", "org/repo", None)
FOLDERS = (
    "/home/u/acme/api",
    "/home/u/acme/api/src",
    "/home/v/acme/api",
    "/home/u/beta/api",
    "/srv/api",
    "/home/u/acme/web",
    "C:\\w\\web",
    "/tmp",
    "/workspaces/api",
    None,
)
Row = tuple[str, str | None, str | None]


def expected_labels(rows: list[Row]) -> list[str | None]:
    """Return the name of each row's project: that of its folder, else of the agent's last one."""
    places = [project_folder(project, cwd) if project and cwd else None for _, project, cwd in rows]
    filled = list(places)
    for i, (agent, project, _) in enumerate(rows):
        if filled[i] is None:
            same = [
                j
                for j, (other, name, _) in enumerate(rows)
                if (other, name) == (agent, project) and places[j] is not None
            ]
            before = [j for j in same if j < i]
            source = before[-1:] or same[:1]
            filled[i] = places[source[0]] if source else None
    pairs = [(project, place) for (_, project, _), place in zip(rows, filled, strict=True)]
    labels = project_labels((project, place) for project, place in pairs if project)
    return [labels[project, place] if project else None for project, place in pairs]


@given(
    st.lists(
        st.tuples(st.sampled_from(AGENTS), st.sampled_from(PROJECTS), st.sampled_from(FOLDERS)),
        max_size=20,
    ),
    st.sampled_from(["category", "object", "string"]),
    st.booleans(),
)
def test_projects_are_named_in_each_row(rows: list[Row], dtype: str, shuffled: bool) -> None:
    """With any dtype and index; nothing else of the frame changes."""
    frame = pd.DataFrame(rows, columns=["agent_id", "project", "cwd"]).astype(dtype)
    if shuffled:
        frame.index = pd.Index(range(len(frame), 0, -1))
    before = frame.copy()
    named = with_projects(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert named.index.equals(frame.index)
    assert list(named.columns) == list(frame.columns)
    found = [None if pd.isna(name) else name for name in named["project"]]
    assert found == expected_labels(rows)
    again = with_projects(named)["project"]
    assert [None if pd.isna(name) else name for name in again] == found


@pytest.mark.parametrize("missing", ["agent_id", "project", "cwd"])
def test_projects_need_three_columns(missing: str) -> None:
    """Without them the frame stays as it is."""
    rows = [("a", "api", "/home/u/acme/api"), ("b", "api", "/home/u/beta/api")]
    frame = pd.DataFrame(rows, columns=["agent_id", "project", "cwd"]).drop(columns=missing)
    assert with_projects(frame) is frame


def test_projects_of_other_types_stay() -> None:
    """A column can have numbers, or names of the user's own."""
    frame = pd.DataFrame({"agent_id": ["a"], "project": [7], "cwd": ["/home/u/7"]})
    assert with_projects(frame) is frame
