"""How the grid looks in a notebook: inside other widgets, saved, empty, wrong, in a replay."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import OpenNotebook
from tests.e2e.jupyter import KINDS, Jupyter, Notebook
from tests.helpers.server_process import Server

IMPORT = "import ipywidgets\nfrom htmlgraph_nb import AgentGrid\nURL = {url!r}"
BOXES = {
    "alone": "AgentGrid(URL)",
    "HBox": "ipywidgets.HBox([AgentGrid(URL)])",
    "HBox of two": "ipywidgets.HBox([AgentGrid(URL), AgentGrid(URL)])",
    "HBox with a label": "ipywidgets.HBox([ipywidgets.Label('a label'), AgentGrid(URL)])",
    "VBox": "ipywidgets.VBox([AgentGrid(URL), ipywidgets.Label('a label')])",
    "Tab": "ipywidgets.Tab([AgentGrid(URL)])",
    "Accordion": "ipywidgets.Accordion([AgentGrid(URL)], selected_index=0)",
    "GridBox": (
        "ipywidgets.GridBox([AgentGrid(URL), AgentGrid(URL)],"
        " layout={'grid_template_columns': '1fr 1fr'})"
    ),
    "layout": "ipywidgets.HBox([AgentGrid(URL, layout={'border': '1px solid gray'})])",
}


def boxes(notebook: Notebook, index: int) -> list[dict[str, Any]]:
    """Return the rectangles of a cell's grids."""
    grids = notebook.output(index).locator(".htmlgraph-grid")
    return [box for grid in grids.all() if (box := grid.bounding_box()) is not None]


@pytest.mark.parametrize("jupyter", ["lab"], indirect=True)
def test_grid_is_visible_in_every_box(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """A grid takes the free width of its container, shared with its neighbours."""
    presence_server.send("boxed", tool_name="Read")
    notebook = open_notebook(jupyter, IMPORT.format(url=presence_server.url), *BOXES.values())
    notebook.run(0)
    for index, (name, source) in enumerate(BOXES.items(), 1):
        notebook.run(index)
        count = source.count("AgentGrid(")
        cards = notebook.output(index).locator('[data-agent-id="boxed"]')
        expect(cards).to_have_count(count)
        for card in cards.all():
            card.scroll_into_view_if_needed()
            expect(card).to_be_visible()
        shown = boxes(notebook, index)
        free = notebook.output(index).locator(".jp-OutputArea-output").last.bounding_box()
        assert free is not None
        assert len(shown) == count, name
        assert min(box["width"] for box in shown) > 240, name
        assert sum(box["width"] for box in shown) > 0.75 * free["width"], name
        assert all(box["x"] + box["width"] <= free["x"] + free["width"] + 1 for box in shown), name
        for left, right in pairwise(shown):
            assert left["x"] + left["width"] <= right["x"], f"{name}: the grids overlap"


@pytest.mark.parametrize("jupyter", KINDS, indirect=True)
def test_saved_grid_is_a_table_without_its_kernel(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """A reopened notebook shows the saved agents and no error; rerun, the live grid."""
    name = f"saved-{jupyter.kind}"
    presence_server.send(name, tool_name="Read", project="billing-api")
    source = f"{IMPORT}\nAgentGrid(URL)".format(url=presence_server.url)
    box = "ipywidgets.HBox([AgentGrid(URL)])"
    notebook = open_notebook(jupyter, source, box, "ipywidgets.HBox()")
    for index in range(3):
        notebook.run(index)
    expect(notebook.card(name)).to_have_count(2)
    notebook.save()
    notebook.shut_down()

    saved = notebook.path
    reopened = open_notebook(jupyter, saved)
    reopened.watched.allowed.append("widget model not found")
    output = reopened.output(0)
    expect(output.get_by_role("rowheader", name=name)).to_be_visible()
    expect(output).to_contain_text("Run the cell to see the agents live")
    expect(output).not_to_contain_text("model not found")
    expect(output).not_to_contain_text("Loading")
    boxed = reopened.output(1)
    expect(boxed).to_contain_text("or show grid.snapshot() in a cell")
    expect(boxed).not_to_contain_text("model not found")
    expect(reopened.output(2)).to_contain_text("model not found")
    reopened.run(0)
    expect(reopened.card(name)).to_be_visible()
    expect(output.locator("table.htmlgraph-snapshot")).to_have_count(0)
