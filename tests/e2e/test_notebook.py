"""The grid in a real JupyterLab, fed by a real server, seen in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.integration.server import Server, running
from tests.polling import wait_until

from .conftest import OpenPage
from .jupyter import Lab, Notebook, running_lab

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# What a browser does with a tab that goes to the background or comes to the front.
SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", {value: !seen, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def presence_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of this module."""
    with running(tmp_path_factory.mktemp("server") / "home") as server:
        yield server


@pytest.fixture(scope="module")
def lab(presence_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab whose kernels find the server by its file."""
    environ = {"HTMLGRAPH_HOME": str(presence_server.home)}
    with running_lab(tmp_path_factory.mktemp("jupyter"), environ) as started:
        yield started


def test_the_cards_move_while_a_cell_runs(
    lab: Lab, presence_server: Server, open_page: OpenPage
) -> None:
    """Shown by one cell, the grid follows the server while another one holds the kernel."""
    url = presence_server.url
    lab.write(
        "live.ipynb",
        f'from htmlgraph_nb import AgentGrid\ngrid = AgentGrid("{url}")\ngrid',
        "import time\ntime.sleep(20)",
        "grid.close()",
    )
    presence_server.send("builder", tool_name="Bash")
    watched = open_page(lab.address("live.ipynb"))
    notebook = Notebook(watched.page, 3)
    notebook.run(0)
    card = notebook.card("builder")
    expect(card).to_have_attribute("data-status", "active")
    expect(card.locator('[data-field="tool"]')).to_have_text("Bash")
    expect(watched.page.locator(".htmlgraph-grid")).to_have_attribute(
        "data-connection", "connected"
    )

    notebook.begin(1)
    for tool in ("Edit", "Read", "Grep"):
        presence_server.send("builder", tool_name=tool)
        expect(card.locator('[data-field="tool"]')).to_have_text(tool)
    presence_server.send("reviewer")
    expect(notebook.card("reviewer")).to_be_visible()
    assert notebook.running(1), "the cell ended before the cards had changed"

    notebook.interrupt()
    wait_until(lambda: not notebook.running(1), "the end of the cell")
    outputs = notebook.cell(1)["outputs"]
    assert [output.get("ename") for output in outputs] == ["KeyboardInterrupt"], outputs
    notebook.run(2)
    expect(notebook.card("builder")).to_have_count(0)


def test_a_reloaded_page_shows_the_grid_again(
    lab: Lab, presence_server: Server, open_page: OpenPage
) -> None:
    """After a reload the cards stand there as they are now, and go on moving."""
    lab.write("reload.ipynb", "from htmlgraph_nb import AgentGrid\ngrid = AgentGrid()\ngrid")
    watched = open_page(lab.address("reload.ipynb"))
    notebook = Notebook(watched.page, 1)
    notebook.run(0)
    presence_server.send("planner", tool_name="Bash")
    expect(notebook.card("planner").locator('[data-field="tool"]')).to_have_text("Bash")
    watched.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    watched.page.reload()
    again = Notebook(watched.page, 1)
    expect(again.card("planner").locator('[data-field="tool"]')).to_have_text("Bash")
    presence_server.send("planner", tool_name="Edit")
    expect(again.card("planner").locator('[data-field="tool"]')).to_have_text("Edit")


def test_a_page_that_is_seen_again_wakes_the_feed(
    lab: Lab, presence_server: Server, open_page: OpenPage
) -> None:
    """After a long absence the kernel sends nothing; the page's sign brings everything at once."""
    lab.write(
        "away.ipynb",
        "from htmlgraph_nb import AgentGrid\ngrid = AgentGrid()\ngrid",
        "grid._outlet.feed._away_s = 10_000.0  # as if nobody had looked for hours",
        "grid._client.wait_for(lambda agents: agents['sleeper'].last_tool_name == 'Edit', 20)\n"
        "print(grid._outlet.feed.away)",
    )
    presence_server.send("sleeper", tool_name="Bash")
    watched = open_page(lab.address("away.ipynb"))
    notebook = Notebook(watched.page, 3)
    notebook.run(0)
    tool = notebook.card("sleeper").locator('[data-field="tool"]')
    expect(tool).to_have_text("Bash")
    watched.page.evaluate(SEEN, False)
    notebook.run(1)
    presence_server.send("sleeper", tool_name="Edit")
    notebook.run(2)
    assert notebook.cell(2)["outputs"][0]["text"] == "True\n"
    expect(tool).to_have_text("Bash")
    watched.page.evaluate(SEEN, True)
    expect(tool).to_have_text("Edit")


def test_the_live_notebook_runs_as_it_is_shipped(
    lab: Lab, presence_server: Server, open_page: OpenPage
) -> None:
    """notebooks/01_live.ipynb finds the server by itself and shows its agents."""
    source = NOTEBOOKS / "01_live.ipynb"
    cells = nbformat.reads(source.read_text(encoding="utf-8"), as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells), "it is stored without outputs"
    (lab.folder / source.name).write_bytes(source.read_bytes())
    presence_server.send("writer", tool_name="Edit", input_tokens=1200)
    watched = open_page(lab.address(source.name))
    notebook = Notebook(watched.page, len(cells))
    for index in [i for i, cell in enumerate(cells) if cell.cell_type == "code"]:
        notebook.run(index)
        expect(notebook.card("writer")).to_be_visible()
