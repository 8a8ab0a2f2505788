"""Each plot draws the result of its function into the given Axes and shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

from htmlgraph_nb import analysis
from htmlgraph_nb.analysis import plots
from tests.benchmarks.analysis import history
from tests.unit.analysis.test_examples import example

PLOTS: list[Callable[..., Any]] = [
    plots.plot_timeline,
    plots.plot_tool_counts,
    plots.plot_token_costs,
    plots.plot_concurrency,
    plots.plot_tool_transitions,
]


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close all figures after each test."""
    yield
    plt.close("all")


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("frame", [example(), history(5_000), example().iloc[:1], example()[:0]])
def test_plot_draws_any_frame(plot: Callable[..., Any], style: str, frame: pd.DataFrame) -> None:
    """Two agents, two hundred, one event or none; into its own figure or a given Axes."""
    with plt.style.context(style):
        assert plot(frame).get_title()
        given = plt.subplots()[1]
        assert plot(frame, ax=given) is given
        given.figure.canvas.draw()


def test_plot_bars_equal_counts() -> None:
    """The heights of all bars add up to the tools and the dollars."""
    frame = history(5_000)
    ax = plots.plot_tool_counts(frame, "D")
    heights = [bar.get_height() for bar in ax.patches]
    assert sum(heights) == analysis.tool_counts(frame, ()).loc[0, "count"]
    ax = plots.plot_token_costs(frame, "D", measure="total")
    assert sum(bar.get_height() for bar in ax.patches) == frame["cost_tokens"].sum()


def test_plot_combines_rare_series() -> None:
    """Thirty tools are drawn as nine and "others"."""
    labels = plots.plot_tool_counts(history(5_000), "D").get_legend_handles_labels()[1]
    assert len(labels) == 10
    assert labels[-1] == "others"


def test_plot_timeline_labels_some_agents() -> None:
    """All of two agents are labelled, and every fifth of two hundred."""
    assert [t.get_text() for t in plots.plot_timeline(example()).get_yticklabels()] == [
        "claude-1",
        "codex-1",
    ]
    assert len(plots.plot_timeline(history(20_000)).get_yticklabels()) == 40


def test_plot_token_costs_title_lists_unknown_models() -> None:
    """The title lists models without a price."""
    assert plots.plot_token_costs(example()).get_title() == "Costs without my-model"


def test_plot_tool_transitions_cells_equal_shares() -> None:
    """The cells of the heat map are the shares."""
    ax = plots.plot_tool_transitions(example())
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
