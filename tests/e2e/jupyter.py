"""A real JupyterLab or Notebook 7 for tests, and notebooks in it, run through its own commands.

No file of the user who runs the tests is read: configuration, data, runtime files, settings and
workspaces are in a folder of the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import nbformat
from playwright.sync_api import Locator

import htmlgraph_server
from tests.e2e.browser import Watched
from tests.helpers.environ import jupyter_environ
from tests.helpers.wait import wait_until

START_S = 60.0
STOP_S = 10.0
Kind = Literal["lab", "notebook"]
OPEN = ("--IdentityProvider.token=", "--PasswordIdentityProvider.hashed_password=")
"""No authentication."""
KINDS: tuple[Kind, ...] = ("lab", "notebook")

# Find the notebook among the open panels: the focus changes while Lab loads.
_PANEL = """
  const panel = [...(window.jupyterapp?.shell?.widgets("main") ?? [])]
    .find((widget) => widget.context && widget.sessionContext);
"""
_READY = f"""(cells) => {{{_PANEL}
  if (!panel?.context.isReady || panel.content.widgets.length !== cells) return false;
  const kernel = panel.sessionContext.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}}"""
# The command's promise resolves when the cell ends; tests that watch a cell do not await it.
_RUN = f"""async ([index, wait]) => {{{_PANEL}
  const app = window.jupyterapp;
  app.shell.activateById(panel.id);
  panel.content.activeCellIndex = index;
  const done = app.commands.execute("notebook:run-cell");
  if (wait) await done;
}}"""
_CELL = f"""(index) => {{{_PANEL}
  const cell = panel.content.widgets[index].model;
  return {{state: cell.executionState, outputs: cell.outputs.toJSON()}};
}}"""
_OUTPUT = f"""(index) => {{{_PANEL}
  panel.content.widgets[index].node.setAttribute("data-cell-index", String(index));
}}"""
_CLEAR = f"""(index) => {{{_PANEL}
  panel.content.widgets[index].model.clearExecution();
}}"""
_KERNEL = f"""(command) => {{{_PANEL}
  const kernel = panel.sessionContext.session?.kernel;
  return command === "interrupt" ? kernel.interrupt()
    : command === "restart" ? kernel.restart() : panel.sessionContext.shutdown();
}}"""


@dataclass(frozen=True)
class Jupyter:
    """A running Jupyter server with its front end.

    Attributes:
        kind: "lab" for JupyterLab, "notebook" for Notebook 7.
        url: address of the server, with a trailing slash.
        folder: folder of the notebooks.
    """

    kind: Kind
    url: str
    folder: Path

    def write(self, name: str, *cells: str | Path) -> int:
        """Write a notebook and return its number of cells.

        Args:
            name: file name.
            cells: source texts of code cells, or the path of a notebook to copy.
        """
        if isinstance(cells[0], Path):
            notebook = nbformat.read(cells[0], as_version=4)
        else:
            new_cells = [nbformat.v4.new_code_cell(source) for source in cells]
            kernel = {"display_name": "Python 3", "name": "python3"}
            notebook = nbformat.v4.new_notebook(cells=new_cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, self.folder / name)
        return len(notebook.cells)

    @property
    def own_errors(self) -> list[str]:
        """Console messages that are not ours, as in ``Watched.allowed``."""
        # Both query the debugger of a kernel that was just restarted.
        errors = ["Could not restore the debugger state"]
        if self.kind == "notebook":
            # It requests settings of plugins that only JupyterLab has.
            errors.append("reading 'schema'")
        return errors

    def address(self, name: str) -> str:
        """Return the URL that opens only this notebook, in an empty workspace."""
        if self.kind == "notebook":
            return f"{self.url}notebooks/{name}"
        return f"{self.url}lab/tree/{name}?reset"


class Notebook:
    """An open notebook.

    Args:
        watched: page that has opened :meth:`Jupyter.address`.
        cells: number of cells.
        path: the notebook's file.
    """

    def __init__(self, watched: Watched, cells: int, path: Path) -> None:
        self.watched = watched
        self.page = watched.page
        self.path = path
        self._cells = cells
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the notebook is loaded and its kernel is idle."""
        self.page.wait_for_function(_READY, arg=self._cells, timeout=START_S * 1000)

    def run(self, index: int) -> None:
        """Run a cell and wait for its end; fail if it raises."""
        self.page.evaluate(_RUN, [index, True])
        for output in self.cell(index)["outputs"]:
            assert output["output_type"] != "error", "\n".join(output["traceback"])

    def start(self, index: int) -> None:
        """Start a cell and wait until it runs."""
        self.page.evaluate(_RUN, [index, False])
        wait_until(lambda: self.running(index), f"cell {index} to run")

    def cell(self, index: int) -> dict[str, Any]:
        """Return the execution state and outputs of a cell."""
        state: dict[str, Any] = self.page.evaluate(_CELL, index)
        return state

    def printed(self, index: int) -> str:
        """Run a cell and return what it printed."""
        self.run(index)
        outputs = self.cell(index)["outputs"]
        return "".join(output["text"] for output in outputs if output["output_type"] == "stream")

    def clear(self, index: int) -> None:
        """Remove a cell's outputs."""
        self.page.evaluate(_CLEAR, index)

    def running(self, index: int) -> bool:
        """Return whether a cell is running, by the state of the cell, not of the kernel."""
        return bool(self.cell(index)["state"] == "running")

    def interrupt(self, index: int) -> None:
        """Interrupt the kernel and wait until the running cell has ended."""
        self.page.evaluate(_KERNEL, "interrupt")
        wait_until(lambda: not self.running(index), f"the end of cell {index}")
        outputs = self.cell(index)["outputs"]
        assert [output.get("ename") for output in outputs] == ["KeyboardInterrupt"], outputs

    def restart(self) -> None:
        """Restart the kernel and wait until it is idle again."""
        self.page.evaluate(_KERNEL, "restart")
        self.wait_ready()

    def shut_down(self) -> None:
        """End the kernel."""
        self.page.evaluate(_KERNEL, "shut down")

    def save(self) -> None:
        """Write the notebook to its file."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def output(self, index: int) -> Locator:
        """Return a cell's element."""
        self.page.evaluate(_OUTPUT, index)
        return self.page.locator(f'[data-cell-index="{index}"]')

    @property
    def grid(self) -> Locator:
        """The only grid of the notebook."""
        return self.page.locator(".htmlgraph-grid")

    def card(self, agent_id: str) -> Locator:
        """Return an agent's card or row in the grid."""
        return self.grid.locator(f'[data-agent-id="{agent_id}"]')

    def field(self, agent_id: str, name: str) -> Locator:
        """Return one value of an agent's card or row."""
        return self.card(agent_id).locator(f'[data-field="{name}"]')


@contextlib.contextmanager
def running_jupyter(
    kind: Kind, folder: Path, environ: Mapping[str, str], access: Sequence[str] = OPEN
) -> Iterator[Jupyter]:
    """Run Jupyter on a free port with all its files in ``folder``; end its processes at the end.

    Args:
        kind: "lab" or "notebook".
        folder: folder for all files.
        environ: further environment variables.
        access: flags for authentication and base_url.
    """
    notebooks = folder / "notebooks"
    notebooks.mkdir(parents=True)
    settings = {
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True},
        # Notebook 7.6 ignores its own option of that name.
        "exposeAppInBrowser": True,
    }
    page_config = folder / "config" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text(json.dumps(settings))
    # An editable installation contains an old copy of the extension.
    labextension = Path(htmlgraph_server.__file__).with_name("labextension")
    share = folder / "share"
    shutil.copytree(labextension, share / "labextensions" / "htmlgraph-nb")
    log = folder / "jupyter.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_command(kind, notebooks), *access],
            cwd=notebooks,
            env=jupyter_environ(folder, {"JUPYTER_PATH": str(share), **environ}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        runtime = folder / "runtime" / f"jpserver-{process.pid}.json"

        def address() -> str:
            assert process.poll() is None, f"Jupyter ended:\n{log.read_text()}"
            with contextlib.suppress(OSError, ValueError):
                url = str(json.loads(runtime.read_text())["url"])
                # The file exists before the server listens.
                with urlopen(f"{url}api", timeout=START_S):
                    return url
            return ""

        yield Jupyter(kind, wait_until(address, "Jupyter's address", START_S), notebooks)
    finally:
        _end_group(process)


def _command(kind: Kind, notebooks: Path) -> list[str]:
    module, app = {
        "lab": ("jupyterlab", "LabApp"),
        "notebook": ("notebook", "JupyterNotebookApp"),
    }[kind]
    return [
        sys.executable,
        "-m",
        module,
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={notebooks}",
        f"--{app}.news_url=None",
        f"--{app}.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Stop Jupyter and its kernels; a kernel may outlive its server."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
