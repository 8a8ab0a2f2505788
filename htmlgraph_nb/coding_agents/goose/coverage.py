"""What is seen of Goose."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="1.52.0",
    status=("database", "telemetry"),
    waits=NOT_REPORTED,
    tools=("database", "telemetry"),
    tokens=("database", "telemetry"),
    dollars=("database", "prices"),
    title=("database",),
    branch=NOT_REPORTED,
    context=("database",),
    quota=NOT_REPORTED,
    subagents=("database",),
    ends=("process", "database"),
)
