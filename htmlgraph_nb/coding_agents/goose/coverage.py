"""What is seen of Goose."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="1.52.0",
    status=("database",),
    waits=NOT_REPORTED,
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
