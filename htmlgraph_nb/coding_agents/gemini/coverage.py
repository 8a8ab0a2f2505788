"""What is seen of Gemini CLI."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="0.61",
    status=("hooks", "files"),
    waits=("hooks",),
    tools=("hooks", "files", "telemetry"),
    tokens=("files", "telemetry"),
    dollars=("prices",),
    title=("files",),
    branch=NOT_REPORTED,
    context=("files",),
    quota=NOT_REPORTED,
    subagents=("files",),
    ends=("hooks", "process"),
)
