"""Errors: what a notebook prints."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from htmlgraph_nb import AgentGrid
from htmlgraph_nb.errors import ConfigError


def printed(cell: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a cell in IPython and return the lines that it printed."""
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell(colors="nocolor", config=config)
    shell.run_cell(cell)
    captured = capsys.readouterr()
    return [line for line in (captured.out + captured.err).splitlines() if line.strip()]


def test_errors_print_one_sentence_in_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong setting prints the message and the line that is wrong, not the library's frames."""
    message, line = printed(
        "# a grid\nfrom htmlgraph_nb import AgentGrid\nAgentGrid(view='cads')", capsys
    )
    assert message.startswith("ConfigError: view: expected one of cards, table, compact, got")
    assert message.endswith("(did you mean 'cards'?)")
    assert line == "  line 3: AgentGrid(view='cads')"


def test_errors_name_the_calls_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    """An error inside a function of the user names its line and the caller's."""
    cell = (
        "import htmlgraph_nb as hg\n"
        "def load():\n"
        "    return hg.load_history('/nowhere/history.db')\n"
        "load()"
    )
    message, outer, inner = printed(cell, capsys)
    assert message.startswith("StoreUnavailable: ")
    assert "/nowhere/history.db" in message
    assert outer == "  line 4: load()"
    assert inner == "  line 3: return hg.load_history('/nowhere/history.db')"


@pytest.mark.parametrize(
    "setting", ["filter", "sort", "group_by", "columns", "view", "selected", "max_rate"]
)
def test_errors_of_assigned_settings_are_short(setting: str) -> None:
    """An assignment is checked by traitlets, whose frames are not printed either."""
    grid = AgentGrid("http://127.0.0.1:9")
    try:
        with pytest.raises(ConfigError) as raised:
            setattr(grid, setting, 7.5e9)
    finally:
        grid.close()
    lines = raised.value._render_traceback_()
    assert lines[0].startswith(f"ConfigError: {setting}")
    assert lines[1].startswith("  line ")
    assert "setattr" in lines[1]
    assert len(lines) == 2
