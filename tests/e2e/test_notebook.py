"""The shipped notebook and a hidden page in JupyterLab."""

from __future__ import annotations

import nbformat
from playwright.sync_api import expect

from tests.e2e.conftest import OpenNotebook
from tests.e2e.jupyter import Jupyter
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server

NOTEBOOKS = ROOT / "notebooks"
# Simulates a tab that moves to the background or the front.
SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", {value: !seen, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_notebook_visible_page_wakes_updates(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """The kernel sends nothing to a page hidden for long; its ping requests a snapshot."""
    presence_server.send("sleeper", tool_name="Bash")
    notebook = open_notebook(
        jupyter,
        "from htmlgraph_nb import AgentGrid\ngrid = AgentGrid()\ngrid",
        "grid._sink.scheduler._away_s = 10_000.0  # as if no page had been open for hours",
        "grid._source.client.wait_for(\n"
        "    lambda agents: agents['sleeper'].last_tool_name == 'Edit', 20\n"
        ")\n"
        "print(grid._sink.scheduler.away)",
    )
    notebook.run(0)
    tool = notebook.field("sleeper", "tool")
    expect(tool).to_have_text("Bash")
    notebook.page.evaluate(SEEN, False)
    notebook.run(1)
    presence_server.send("sleeper", tool_name="Edit")
    assert notebook.printed(2) == "True\n"
    expect(tool).to_have_text("Bash")
    notebook.page.evaluate(SEEN, True)
    expect(tool).to_have_text("Edit")


def test_live_notebook_runs_as_shipped(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """notebooks/01_live.ipynb discovers the server and shows its agents."""
    source = NOTEBOOKS / "01_live.ipynb"
    cells = nbformat.reads(source.read_text(encoding="utf-8"), as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells), (
        "the notebook must be stored without outputs"
    )
    presence_server.send("writer", tool_name="Edit", input_tokens=1200)
    notebook = open_notebook(jupyter, source)
    for index in [i for i, cell in enumerate(cells) if cell.cell_type == "code"]:
        notebook.run(index)
        expect(notebook.card("writer")).to_be_visible()
