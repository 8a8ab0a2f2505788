"""What is seen of Mistral Vibe."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="2.19",
    status=("files", "plugin"),
    waits=NOT_REPORTED,
    tools=("files", "plugin"),
    tokens=("files",),
    dollars=("files", "prices"),
    title=("files",),
    branch=("files",),
    context=("files",),
    quota=NOT_REPORTED,
    subagents=("files",),
    ends=("process",),
)
