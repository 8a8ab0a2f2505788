"""A real JupyterLab for tests, and a notebook in it that is run through its own commands.

Nothing of the person who runs the tests is read: configuration, data, runtime files, settings and
workspaces lie in a folder of the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.polling import wait_until

START_S = 60.0
STOP_S = 10.0

# The notebook is looked up among the open panels: which one has the focus changes while Lab loads.
_PANEL = """
  const panel = [...(window.jupyterapp?.shell?.widgets("main") ?? [])]
    .find((one) => one.context && one.sessionContext);
"""
_READY = f"""(cells) => {{{_PANEL}
  if (!panel?.context.isReady || panel.content.widgets.length !== cells) return false;
  const kernel = panel.sessionContext.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}}"""
# The command's promise ends with the cell; a cell that is to be watched is not awaited.
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
_INTERRUPT = f"""() => {{{_PANEL}
  return panel.sessionContext.session.kernel.interrupt();
}}"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Attributes:
        folder: where its notebooks are.
    """

    url: str
    folder: Path

    def write(self, name: str, *cells: str) -> None:
        """Put a notebook of code cells into the folder."""
        notebook = {
            "cells": [
                {
                    "cell_type": "code",
                    "execution_count": None,
                    "id": f"cell-{index}",
                    "metadata": {},
                    "outputs": [],
                    "source": source,
                }
                for index, source in enumerate(cells)
            ],
            "metadata": {"kernelspec": {"display_name": "Python 3", "name": "python3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.folder / name).write_text(json.dumps(notebook), encoding="utf-8")

    def address(self, name: str) -> str:
        """Return the URL that opens a notebook, and no other one from an earlier visit."""
        return f"{self.url}lab/tree/{name}?reset"


class Notebook:
    """An open notebook.

    Args:
        page: on which :meth:`Lab.address` was opened.
        cells: how many cells it has.
    """

    def __init__(self, page: Page, cells: int) -> None:
        self.page = page
        page.wait_for_function(_READY, arg=cells, timeout=START_S * 1000)

    def run(self, index: int) -> None:
        """Run a cell and wait until it has ended; the test fails where it raised."""
        self.page.evaluate(_RUN, [index, True])
        for output in self.cell(index)["outputs"]:
            assert output["output_type"] != "error", "\n".join(output["traceback"])

    def begin(self, index: int) -> None:
        """Start a cell and wait until it runs."""
        self.page.evaluate(_RUN, [index, False])
        wait_until(lambda: self.running(index), f"cell {index} to run")

    def cell(self, index: int) -> dict[str, Any]:
        """Return a cell's execution state and its outputs."""
        found: dict[str, Any] = self.page.evaluate(_CELL, index)
        return found

    def running(self, index: int) -> bool:
        """Return whether a cell runs now, by the cell's own state and not the kernel's."""
        return bool(self.cell(index)["state"] == "running")

    def interrupt(self) -> None:
        """Interrupt the kernel."""
        self.page.evaluate(_INTERRUPT)

    def card(self, agent_id: str) -> Locator:
        """Return an agent's card in the grid."""
        return self.page.locator(f'.htmlgraph-grid [data-agent-id="{agent_id}"]')


@contextlib.contextmanager
def running_lab(folder: Path, environ: Mapping[str, str]) -> Iterator[Lab]:
    """Run JupyterLab on a free port, with all its files in ``folder``, and end its processes."""
    notebooks = folder / "notebooks"
    notebooks.mkdir(parents=True)
    disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    page_config = folder / "config" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text(json.dumps(disabled))
    log = folder / "jupyter.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(notebooks),
            cwd=notebooks,
            env=_environment(folder, environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        runtime = folder / "runtime" / f"jpserver-{process.pid}.json"

        def address() -> str:
            assert process.poll() is None, f"JupyterLab ended:\n{log.read_text()}"
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(runtime.read_text())["url"])
            return ""

        yield Lab(wait_until(address, "JupyterLab's address", START_S), notebooks)
    finally:
        _end_group(process)


def _command(notebooks: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        "--IdentityProvider.token=",
        "--PasswordIdentityProvider.hashed_password=",
        f"--ServerApp.root_dir={notebooks}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HTMLGRAPH_", "JUPYTER", "JPY_", "IPYTHON"))
    }
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    folders = {name: str(folder / value) for name, value in own.items()}
    return {**kept, **folders, **environ}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End JupyterLab and its kernels; a kernel may outlive its server."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
