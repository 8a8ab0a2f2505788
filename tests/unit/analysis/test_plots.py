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


def labelled() -> pd.DataFrame:
    """Return the example, in which one agent has a title and the other a project and branch."""
    frame = example()
    is_claude = frame["agent_id"] == "claude-1"
    title, other = "Price in $x_ and ${y\n" + "long " * 20, "_private"
    return frame.assign(
        title=pd.Categorical(np.where(is_claude, title, None)),
        project=pd.Categorical(np.where(is_claude, "shop", other)),
        branch=pd.Categorical(["main"] * len(frame)),
    )


def test_plot_labels_agents_by_title_or_branch() -> None:
    """On the axis and in the legend; long names and signs of formulas do no harm."""
    expected = [r"Price in \$x_ and \${y long long long…", "\u200a_private · main"]
    ax = plots.plot_timeline(labelled())
    assert [text.get_text() for text in ax.get_yticklabels()] == expected
    ax.figure.canvas.draw()
    for ax in (
        plots.plot_tool_counts(labelled(), by="agent_id"),
        plots.plot_token_costs(labelled(), by="agent_id", measure="total"),
    ):
        assert sorted(ax.get_legend_handles_labels()[1]) == sorted(expected)
        legend = ax.get_legend()
        assert legend is not None
        assert len(legend.get_texts()) == 2
        ax.figure.canvas.draw()


def test_plot_stacks_by_labels() -> None:
    """Costs can be stacked by branch, calls by the title."""
    labels = plots.plot_token_costs(labelled(), by="branch").get_legend_handles_labels()[1]
    assert labels == ["main"]
    assert len(plots.plot_tool_counts(labelled(), by="title").get_legend_handles_labels()[1]) == 2


def test_plot_token_costs_title_lists_unknown_models() -> None:
    """The title lists models without a price."""
    assert plots.plot_token_costs(example()).get_title() == "Costs without my-model"


def test_plot_tool_transitions_cells_equal_shares() -> None:
    """The cells of the heat map are the shares."""
    ax = plots.plot_tool_transitions(example())
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
