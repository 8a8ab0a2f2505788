"""What is seen of Kiro CLI."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="2.6",
    status=("files", "hooks"),
    waits=("files",),
    tools=("files", "hooks"),
    tokens=NOT_REPORTED,
    dollars=NOT_REPORTED,
    title=("files",),
    branch=NOT_REPORTED,
    context=("files",),
    quota=NOT_REPORTED,
    subagents=("files",),
    ends=("process",),
)
