"""``htmlgraph-nb uninstall``: undoes every ``connect``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import data_dir, default_db

from .connect.agent_connection import settings_paths
from .connect.hook_program import plan_removal
from .connect.settings_file import apply_plan
from .connect_command import diff_lines
from .options import Print


def configure_uninstall(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``uninstall``."""
    parser.description = (
        "Undoes every htmlgraph-nb connect: in the settings of the user and of the current "
        "project, hooks and status line, for all agents. The data stays."
    )
    parser.add_argument("--dry-run", action="store_true", help="show the changes without writing")
    parser.add_argument(
        "--project",
        default=".",
        metavar="FOLDER",
        help="project whose settings are cleaned, too (default: the current folder)",
    )
    parser.set_defaults(run=lambda arguments: _uninstall(arguments, os.environ, out))


def _uninstall(arguments: argparse.Namespace, environ: Mapping[str, str], out: Print) -> int:
    n_changed, errors = 0, []
    for agent in AGENTS.values():
        for path in settings_paths(agent, environ, arguments.project):
            try:
                plan = plan_removal(agent, path)
                if not plan.is_change:
                    continue
                for line in diff_lines(plan):
                    out(line)
                if not arguments.dry_run:
                    apply_plan(plan)
            except ConfigError as error:
                # The others are cleaned all the same.
                errors.append(str(error))
                continue
            n_changed += 1
            state = "would be disconnected" if arguments.dry_run else "is disconnected"
            out(f"{agent.label} {state}: {path}")
    if not n_changed and not errors:
        out("no agent is connected here; run it in other projects that you connected, too")
    for text in _remaining():
        out(text)
    if errors:
        raise ConfigError("; ".join(errors))
    return 0


def _remaining() -> list[str]:
    return [
        f"The data stays: {default_db()}, other files in {data_dir()}",
        "To delete it: htmlgraph-nb reset. To remove the program: pip uninstall htmlgraph-nb",
    ]
