"""What is seen of Qwen Code."""

from __future__ import annotations

from ..coverage.declaration import NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="0.24.4",
    status=("hooks", "files"),
    waits=("hooks",),
    tools=("hooks", "files", "telemetry"),
    tokens=("files", "telemetry"),
    dollars=("prices",),
    title=("files",),
    branch=("files",),
    context=("files",),
    quota=NOT_REPORTED,
    subagents=("hooks", "files"),
    ends=("hooks", "process"),
)
