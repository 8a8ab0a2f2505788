"""What is seen of Claude Code."""

from __future__ import annotations

from ..coverage.declaration import Coverage

COVERAGE = Coverage(
    version="2.1.332",
    status=("hooks", "files", "process"),
    waits=("hooks", "files", "process"),
    tools=("hooks", "files", "telemetry"),
    tokens=("files", "telemetry"),
    dollars=("telemetry", "prices"),
    title=("files", "hooks"),
    branch=("files",),
    context=("statusline", "files"),
    quota=("statusline",),
    subagents=("files", "hooks"),
    ends=("hooks", "process"),
)
