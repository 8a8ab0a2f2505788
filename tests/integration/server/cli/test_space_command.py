"""``htmlgraph-nb space``: a real process on a real database."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.server.cli.test_cli import error_line, run


def test_space_command_lists_spaces(tmp_path: Path) -> None:
    """The default space first; a space exists with its first token."""
    assert "no database" in error_line(run(tmp_path, "space", "list"))
    for name in ("team-b", "team-a", "team-a"):
        assert run(tmp_path, "token", "add", "--space", name).returncode == 0
    rows = json.loads(run(tmp_path, "space", "list", "--json").stdout)
    assert [(row["space"], row["tokens"]) for row in rows] == [
        *(("default", 0), ("team-a", 2), ("team-b", 1))
    ]
    assert rows[1]["database"].endswith("htmlgraph.db.spaces/team-a.db")
    assert rows[1]["bytes"] == 0
    assert "team-b" in run(tmp_path, "space", "list").stdout
