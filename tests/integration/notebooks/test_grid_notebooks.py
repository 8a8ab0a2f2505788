"""The notebooks with a grid run without a browser and are readable without a kernel."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.notebooks.test_notebooks import FOLDER, read


@pytest.fixture
def demo(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with simulated agents, discovered by kernels."""
    server = serve("--speed", "100", "--no-browser", "--agents", "6", command="demo")

    def agents_and_events() -> bool:
        status = server.get("/api/status").json()
        return len(server.presence()) >= 6 and status["updates"]["total"] > 100

    wait_until(agents_and_events, "agents and some history", 60)
    monkeypatch.setenv("HTMLGRAPH_HOME", str(server.home))
    return server


def run(name: str, **settings: bool) -> nbformat.NotebookNode:
    """Run a notebook and return it; fail if a cell raises."""
    notebook = read(FOLDER / name)
    NotebookClient(notebook, timeout=60, kernel_name="python3", **settings).execute()
    return notebook


def outputs_of(notebook: nbformat.NotebookNode, cell_id: str) -> list[nbformat.NotebookNode]:
    """Return the outputs of a cell."""
    (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
    return list(cell.outputs)


def test_live_notebook_is_readable_without_a_kernel(demo: Server) -> None:
    """01_live runs as shipped without printing; converted, it shows the agents as tables."""
    notebook = run("01_live.ipynb", store_widget_state=False)
    for cell_id in ("live-grid", "live-snapshot"):
        (output,) = outputs_of(notebook, cell_id)
        # Six agents and their subagents.
        assert re.match(r"AgentGrid\(\d+ agents: ", output.data["text/plain"])
        assert output.data["text/html"].startswith("<table")
    (output,) = outputs_of(notebook, "live-frame")
    assert "cost_usd" in output.data["text/html"]
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert html.count("Last activity (UTC)</th>") == 2
    assert html.count('<th scope="row"') >= 12
    printed = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in printed if output.output_type in ("stream", "error")]


def test_snapshot_is_shown_with_saved_widgets(demo: Server) -> None:
    """With widget state in the file, the grid itself is only its live view."""
    notebook = run("01_live.ipynb", store_widget_state=True)
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert html.count("Last activity (UTC)</th>") == 1


def test_replay_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """04_replay needs no server: it jumps to a time of the sample and plays on."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(tmp_path))
    notebook = run("04_replay.ipynb")
    (output,) = outputs_of(notebook, "replay-drive")
    assert output.data["text/plain"].startswith("(True, Timestamp(")
    assert outputs_of(notebook, "replay-at") == [], "the grid is not drawn again"
    (output,) = outputs_of(notebook, "replay-grid")
    assert "replay of " in output.data["text/plain"]
    assert '<th scope="row"' in output.data["text/html"]
    for cell_id in ("replay-frame", "replay-history", "replay-presence"):
        (output,) = outputs_of(notebook, cell_id)
        assert len(output.data["text/plain"].splitlines()) >= 3, cell_id
