"""What is seen of OpenCode."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="1.18.33",
    status=("database", "plugin"),
    waits=("plugin", "database"),
    tools=("database",),
    tokens=("database",),
    dollars=("database", "prices"),
    title=("database",),
    branch=NOT_REPORTED,
    context=("database",),
    quota=NOT_REPORTED,
    subagents=("database",),
    ends=("process", "database"),
)
