"""What is seen of Copilot CLI."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="1.0.102",
    status=("files", "hooks", "telemetry"),
    waits=("files",),
    tools=("files", "hooks", "telemetry"),
    tokens=("files", "telemetry"),
    dollars=("prices",),
    title=("files",),
    branch=("files",),
    context=("files",),
    quota=NOT_REPORTED,
    subagents=("files", "hooks"),
    ends=("files", "hooks", "process"),
)
