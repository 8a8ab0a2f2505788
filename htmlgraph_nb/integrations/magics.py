"""Magics: ``%%agent`` reports cells as the work of an agent, ``%agents`` and ``%agent_costs`` show.

The shell runs a cell with ``%%agent`` like any other cell: an input transformer comments out the
magic's line, and the shell's own events report the start and the end. So output, errors and
``await`` work as usual, and "Run all" stops at a cell that fails.
"""

from __future__ import annotations

import atexit
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from ..errors import HtmlgraphError
from .guard import never_raises
from .notebook_turns import CellAgent, CellTurn

if TYPE_CHECKING:
    import pandas as pd

MAGIC = "%%agent"
_COLUMNS = (
    "agent_id status detail reason current_feature_id model total_tools_executed total_errors "
    "total_cost_tokens cost_usd unpriced_tokens last_activity"
).split()


@magics_class
class AgentMagics(Magics):
    """The magics of one shell, and the agents of its cells."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._agents: dict[str, CellAgent] = {}
        # A stack: the code of a cell can run other cells.
        self._turns: list[tuple[Any, CellTurn]] = []

    @magic_arguments()
    @argument("name", nargs="?", help="id of the agent; %%agent needs it")
    @argument("--feature", "-f", help="the feature that it works on in this cell")
    @argument("--model", "-m", help="its model, from this cell on")
    @line_cell_magic
    def agent(self, line: str, cell: str | None = None) -> pd.DataFrame | None:
        """Run a cell as the activity of an agent: ``%%agent NAME``.

        ``%agent`` shows the current state of the agents of this notebook, ``%agent NAME`` of one.
        """
        arguments = parse_argstring(self.agent, line)
        if cell is None:
            return self._status(arguments)
        if arguments.name is None:
            raise UsageError(f"{MAGIC}: the name of the agent is missing; write {MAGIC} my-agent")
        # Only code calls the magic; a cell that starts with it was transformed before.
        turn = self._start_turn(arguments)
        turn.end(_error_of(self.shell.run_cell(cell)))
        return None

    @magic_arguments()
    @argument("words", nargs="*", help="words that an agent must have, such as a project")
    @argument("--all", "-a", action="store_true", help="also agents that are offline")
    @line_magic
    def agents(self, line: str) -> pd.DataFrame:
        """Show the agents now, those that wait for you first: ``%agents``.

        The table is for reading; ``htmlgraph_nb.load_presence()`` has the data, and ``AgentGrid()``
        follows it.
        """
        from .magic_tables import agents_table

        arguments = parse_argstring(self.agents, line)
        return _shown(lambda: agents_table(" ".join(arguments.words), offline=arguments.all))

    @magic_arguments()
    @argument("since", nargs="?", default="7d", help="first time to include (default: 7d)")
    @argument("--by", "-b", default="", help="columns, such as project,model (default: model)")
    @argument("--daily", "-d", action="store_true", help="a row per day")
    @line_magic
    def agent_costs(self, line: str) -> pd.DataFrame:
        """Show tokens and dollars: ``%agent_costs 7d --by project``.

        The table is for reading; ``htmlgraph_nb.token_costs`` has the numbers.
        """
        from .magic_tables import costs_table

        arguments = parse_argstring(self.agent_costs, line)
        by = tuple(name.strip() for name in arguments.by.split(",") if name.strip())
        return _shown(lambda: costs_table(arguments.since, by, daily=arguments.daily))

    def without_magic(self, lines: list[str]) -> list[str]:
        """Return the lines of a cell with the magic commented out, so that line numbers stay."""
        if _arguments(self, lines) is None:
            return lines
        rest = lines[1:]
        # Another cell magic must be on the first line.
        return rest if rest and rest[0].startswith("%%") else [f"# {lines[0]}", *rest]

    @never_raises
    def on_cell_start(self, info: Any) -> None:
        """Handle the shell's ``pre_run_cell`` event."""
        lines = str(info.raw_cell).lstrip().splitlines()
        arguments = _arguments(self, lines)
        if arguments is not None:
            self._turns.append((info, self._start_turn(arguments)))

    @never_raises
    def on_cell_end(self, result: Any) -> None:
        """Handle the shell's ``post_run_cell`` event."""
        if self._turns and (result is None or result.info is self._turns[-1][0]):
            self._turns.pop()[1].end(_error_of(result))

    @never_raises
    def end(self) -> None:
        """End the sessions of all agents."""
        agents, self._agents = list(self._agents.values()), {}
        for agent in agents:
            agent.end()

    def _start_turn(self, arguments: Namespace) -> CellTurn:
        agent = self._agents.get(arguments.name)
        if agent is None:
            agent = self._agents[arguments.name] = CellAgent(arguments.name)
        return CellTurn(agent, feature_id=arguments.feature, model=arguments.model)

    def _status(self, arguments: Namespace) -> pd.DataFrame:
        from ..history.load import load_presence

        if arguments.feature or arguments.model:
            raise UsageError(f"--feature and --model are options of {MAGIC}, not of %agent")
        names = [arguments.name] if arguments.name else list(self._agents)
        if not names:
            raise UsageError(f"no cell has run as an agent yet; start one with: {MAGIC} NAME")
        for name in names:
            if name in self._agents:
                self._agents[name].flush()
        try:
            presence = load_presence()
        except HtmlgraphError as error:
            raise UsageError(str(error)) from None
        return presence.loc[presence["agent_id"].isin(names), _COLUMNS].reset_index(drop=True)


def _shown(table: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return a table, or report why there is none in one line."""
    try:
        return table()
    except HtmlgraphError as error:
        raise UsageError(str(error)) from None


_loaded: WeakKeyDictionary[Any, AgentMagics] = WeakKeyDictionary()


def load_magics(shell: Any) -> None:
    """Add the magics to a shell, replacing those of an earlier call."""
    unload_magics(shell)
    magics = _loaded[shell] = AgentMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(magics.without_magic)
    shell.events.register("pre_run_cell", magics.on_cell_start)
    shell.events.register("post_run_cell", magics.on_cell_end)
    atexit.register(magics.end)


def unload_magics(shell: Any) -> None:
    """Remove the magics from a shell and end the sessions of its agents."""
    magics = _loaded.pop(shell, None)
    if magics is None:
        return
    shell.events.unregister("pre_run_cell", magics.on_cell_start)
    shell.events.unregister("post_run_cell", magics.on_cell_end)
    shell.input_transformers_cleanup.remove(magics.without_magic)
    for kind in ("line", "cell"):
        for name in ("agent", "agents", "agent_costs"):
            shell.magics_manager.magics[kind].pop(name, None)
    atexit.unregister(magics.end)
    magics.end()


def _arguments(magics: AgentMagics, lines: list[str]) -> Namespace | None:
    """Return the arguments in a cell's first line; None if it is no valid ``%%agent NAME``."""
    word, *rest = (lines[0] if lines else "").split(maxsplit=1) or [""]
    if word != MAGIC:
        return None
    try:
        arguments: Namespace = parse_argstring(magics.agent, "".join(rest).strip())
    except (UsageError, ValueError, SystemExit):
        # Leave the line unchanged: the shell calls the magic, which reports the error.
        return None
    return arguments if arguments.name else None


def _error_of(result: Any) -> BaseException | None:
    if result is None:
        # The cell was cancelled during an await.
        return KeyboardInterrupt()
    error: BaseException | None = result.error_before_exec or result.error_in_exec
    return error
