"""Plots of plotly in notebooks: without a network, with hover, and as plain text of names."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import OpenNotebook
from tests.e2e.jupyter import KINDS, Jupyter

FRAME = """
import htmlgraph_nb as hg
events = hg.sample_history()
events["title"] = events["title"].cat.rename_categories(lambda name: f"<b>$x$ $y$</b> {name}")
"""
PLOT = 'hg.plot_timeline(events, backend="plotly", tz="America/New_York")'


@pytest.mark.parametrize("jupyter", KINDS, indirect=True)
def test_plotly_is_shown_without_a_network(jupyter: Jupyter, open_notebook: OpenNotebook) -> None:
    """The library comes from the installed package; a request to another host fails the test."""
    notebook = open_notebook(jupyter, FRAME, PLOT)
    notebook.run(0)
    notebook.run(1)
    figure = notebook.output(1).locator(".js-plotly-plot").first
    expect(figure).to_be_visible()
    expect(figure).to_contain_text("Agents over time")
    expect(figure).to_contain_text("America/New_York")
    names = figure.locator(".ytick text")
    expect(names.first).to_contain_text("<b>$x$ $y$</b> Fix the rounding")
    expect(figure.locator(".mathjax")).to_have_count(0)
    wait = figure.locator(".trace.bars").last.locator(".point path").first
    wait.hover(force=True)
    hover = figure.locator(".hoverlayer .hovertext")
    expect(hover).to_contain_text("waiting")
    expect(hover).to_contain_text("EST")
