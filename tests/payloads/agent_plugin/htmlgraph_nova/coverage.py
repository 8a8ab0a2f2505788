"""What is seen of Nova, and from which source; shown by doctor and on the page."""

from htmlgraph_nb.coding_agents import NOT_READ, NOT_REPORTED, Coverage

COVERAGE = Coverage(
    version="1.4",
    status=("hooks", "files"),
    waits=("hooks",),
    tools=("hooks", "files"),
    tokens=("files",),
    dollars=("prices",),
    title=("files",),
    branch=NOT_REPORTED,
    context=NOT_READ,
    quota=NOT_REPORTED,
    subagents=NOT_REPORTED,
    ends=("hooks", "process"),
)
