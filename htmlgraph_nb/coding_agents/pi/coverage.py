"""What is seen of Pi."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="1.6.0",
    status=("plugin", "files"),
    waits=("plugin",),
    tools=("files", "plugin"),
    tokens=("files",),
    dollars=("files", "prices"),
    title=("files",),
    branch=NOT_REPORTED,
    context=("files",),
    quota=NOT_REPORTED,
    subagents=NOT_REPORTED,
    ends=("plugin", "process"),
)
