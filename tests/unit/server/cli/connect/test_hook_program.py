"""Hooks that are a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.cli.connect.hook_program import (
    plan_program,
    plan_program_removal,
    program_command,
)
from htmlgraph_server.cli.connect.settings_file import apply_plan

TEXT = 'const HOOK = "/opt/bin/htmlgraph-hook pi";\n'


def test_plan_program_writes_and_deletes_the_file(tmp_path: Path) -> None:
    """Its folder is created; writing it again changes nothing."""
    path = tmp_path / "plugins/htmlgraph.js"
    apply_plan(plan_program(str(path), TEXT))
    assert path.read_text() == TEXT
    assert program_command(str(path)) == "/opt/bin/htmlgraph-hook"
    assert not plan_program(str(path), TEXT).is_change
    assert plan_program(str(path), TEXT + "\n").is_change
    apply_plan(plan_program_removal(str(path)))
    assert not path.exists()
    assert not plan_program_removal(str(path)).is_change
    assert program_command(str(path)) is None


def test_plan_program_leaves_the_files_of_others(tmp_path: Path) -> None:
    """A file without our hook is not replaced or deleted."""
    path = tmp_path / "htmlgraph.js"
    path.write_text("// mine\n")
    with pytest.raises(ConfigError, match="htmlgraph-nb did not write it; rename it"):
        plan_program(str(path), TEXT)
    assert not plan_program_removal(str(path)).is_change
    assert program_command(str(path)) is None
