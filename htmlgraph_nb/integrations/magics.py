"""``%%agent`` and ``%agent``: the cells of a notebook as the activity of an agent.

A cell under ``%%agent`` is run by the shell like any other: a line of input is taken from it before
it is read as code, and the shell's own events tell when it begins and how it ends. So its output,
its errors and its ``await`` are what they always are, and "Run all" stops where a cell fails.
"""

from __future__ import annotations

import atexit
from argparse import Namespace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from ..errors import HtmlgraphError
from .guard import never_raises
from .notebook_turns import CellAgent, CellTurn

if TYPE_CHECKING:
    import pandas as pd

MAGIC = "%%agent"
_COLUMNS = (
    "agent_id status detail reason current_feature_id model total_tools_executed total_errors "
    "total_cost_tokens cost_usd last_activity"
).split()


@magics_class
class AgentMagics(Magics):
    """The two magics of one shell and the agents that its cells were."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._agents: dict[str, CellAgent] = {}
        # A cell's magic can run further code as a cell.
        self._turns: list[tuple[Any, CellTurn]] = []

    @magic_arguments()
    @argument("name", nargs="?", help="id of the agent; %%agent needs it")
    @argument("--feature", "-f", help="what it works on in this cell")
    @argument("--model", "-m", help="what it runs on, from this cell on")
    @line_cell_magic
    def agent(self, line: str, cell: str | None = None) -> pd.DataFrame | None:
        """Run a cell as the activity of an agent: ``%%agent NAME``.

        ``%agent`` shows the agents of this notebook as they are now, ``%agent NAME`` one of them.
        """
        arguments = parse_argstring(self.agent, line)
        if cell is None:
            return self._status(arguments)
        if arguments.name is None:
            raise UsageError(f"{MAGIC} has no name, expected one as in: {MAGIC} my-agent")
        # A program calls it; a cell that begins with it never comes here.
        turn = self._begun(arguments)
        turn.end(_error_of(self.shell.run_cell(cell)))
        return None

    def without_magic(self, lines: list[str]) -> list[str]:
        """Return the lines of a cell with the magic's as a comment, so that line numbers stay."""
        if _arguments(self, lines) is None:
            return lines
        rest = lines[1:]
        # A further magic has to be the first line.
        return rest if rest and rest[0].startswith("%%") else [f"# {lines[0]}", *rest]

    @never_raises
    def cell_begins(self, info: Any) -> None:
        """Take that the shell is about to run a cell."""
        lines = str(info.raw_cell).lstrip().splitlines()
        arguments = _arguments(self, lines)
        if arguments is not None:
            self._turns.append((info, self._begun(arguments)))

    @never_raises
    def cell_ended(self, result: Any) -> None:
        """Take how a cell ended."""
        if self._turns and (result is None or result.info is self._turns[-1][0]):
            self._turns.pop()[1].end(_error_of(result))

    @never_raises
    def end(self) -> None:
        """End the sessions of all agents."""
        agents, self._agents = list(self._agents.values()), {}
        for agent in agents:
            agent.end()

    def _begun(self, arguments: Namespace) -> CellTurn:
        agent = self._agents.get(arguments.name)
        if agent is None:
            agent = self._agents[arguments.name] = CellAgent(arguments.name)
        return CellTurn(agent, feature_id=arguments.feature, model=arguments.model)

    def _status(self, arguments: Namespace) -> pd.DataFrame:
        from ..history.load import load_presence

        if arguments.feature or arguments.model:
            raise UsageError(f"--feature and --model belong to {MAGIC}, %agent only shows")
        names = [arguments.name] if arguments.name else list(self._agents)
        if not names:
            raise UsageError(f"no cell has run as an agent yet; begin one with: {MAGIC} NAME")
        for name in names:
            if name in self._agents:
                self._agents[name].flush()
        try:
            found = load_presence()
        except HtmlgraphError as error:
            raise UsageError(str(error)) from None
        found = found[found["agent_id"].isin(names)]
        return found[_COLUMNS].reset_index(drop=True)


_loaded: WeakKeyDictionary[Any, AgentMagics] = WeakKeyDictionary()


def load_magics(shell: Any) -> None:
    """Add the magics to a shell; those of an earlier call are replaced."""
    unload_magics(shell)
    magics = _loaded[shell] = AgentMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(magics.without_magic)
    shell.events.register("pre_run_cell", magics.cell_begins)
    shell.events.register("post_run_cell", magics.cell_ended)
    atexit.register(magics.end)


def unload_magics(shell: Any) -> None:
    """Take the magics from a shell and end the sessions of its agents."""
    magics = _loaded.pop(shell, None)
    if magics is None:
        return
    shell.events.unregister("pre_run_cell", magics.cell_begins)
    shell.events.unregister("post_run_cell", magics.cell_ended)
    shell.input_transformers_cleanup.remove(magics.without_magic)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("agent", None)
    atexit.unregister(magics.end)
    magics.end()


def _arguments(magics: AgentMagics, lines: list[str]) -> Namespace | None:
    """Return what a cell's first line tells; None where it is no well-formed ``%%agent NAME``."""
    word, *rest = (lines[0] if lines else "").split(maxsplit=1) or [""]
    if word != MAGIC:
        return None
    try:
        found: Namespace = parse_argstring(magics.agent, "".join(rest).strip())
    except (UsageError, ValueError, SystemExit):
        # The magic itself is called, and says what is wrong.
        return None
    return found if found.name else None


def _error_of(result: Any) -> BaseException | None:
    if result is None:
        # The cell was cancelled while it waited.
        return KeyboardInterrupt()
    found: BaseException | None = result.error_before_exec or result.error_in_exec
    return found
