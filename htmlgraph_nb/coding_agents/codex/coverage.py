"""What is seen of Codex."""

from __future__ import annotations

from ..coverage.declaration import Coverage

COVERAGE = Coverage(
    version="0.169",
    status=("hooks", "files"),
    waits=("hooks", "files"),
    tools=("files", "hooks", "telemetry"),
    tokens=("files", "telemetry"),
    dollars=("prices",),
    title=("files",),
    branch=("files",),
    context=("files",),
    quota=("files",),
    subagents=("files", "hooks"),
    ends=("hooks", "process"),
)
