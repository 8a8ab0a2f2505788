"""The list of commands, and what each loads."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from htmlgraph_server.cli.command_list import COMMANDS
from htmlgraph_server.cli.parser import command_parser, make_parser
from tests.helpers.paths import ROOT

HEAVY = {"tornado", "pandas", "pyarrow", "numpy", "textual", "rich", "asyncio", "IPython"}
_LOADED = """
import sys
from htmlgraph_server.cli.parser import make_parser
make_parser(sys.argv[1:])
print(*{name.partition(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_command_parser_has_a_function(command: object) -> None:
    """Each command has a description and sets ``run``."""
    name = command.name  # type: ignore[attr-defined]
    parser = command_parser(name)
    commands = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and action.required:
            commands = [*action.choices.values()]
    assert all(each.get_default("run") is not None for each in commands)
    assert parser.description


def test_make_parser_loads_nothing_heavy() -> None:
    """Only ``serve`` and ``demo`` need the server; the rest is imported when a command runs."""
    names = [command.name for command in COMMANDS if command.name not in ("serve", "demo")]
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *names],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert not HEAVY & set(done.stdout.split())


def test_make_parser_loads_only_the_module_of_a_command() -> None:
    """The others are placeholders."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.replace('.partition(".")[0]', ""), "status"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    own = {name for name in done.stdout.split() if name.endswith("_command")}
    assert own == {"htmlgraph_server.cli.status_command"}


def test_commands_are_listed_once() -> None:
    """Each name is that of one command; modules and functions exist."""
    names = [command.name for command in COMMANDS]
    assert len(names) == len(set(names))
    for command in COMMANDS:
        module = import_module(f"htmlgraph_server.cli.{command.module}")
        assert callable(getattr(module, command.function))
    assert make_parser().prog == "htmlgraph-nb"
