"""Plot a history frame with matplotlib or plotly.

Each function computes a chart (data, labels, colors), and one of two drawers draws it. With
matplotlib the active style sheet applies, and nothing is shown or saved: a notebook displays the
returned Axes. With plotly the figure is returned; notebooks show it without a network.
"""

from .activity_plots import plot_activity_heatmap
from .context_plots import plot_context
from .cost_plots import plot_cumulative_cost
from .session_plot import plot_session
from .stacked_bars import plot_token_costs, plot_tool_counts
from .status_plots import plot_concurrency, plot_timeline
from .tool_plots import plot_tool_durations, plot_tool_transitions

__all__ = [
    "plot_activity_heatmap",
    "plot_concurrency",
    "plot_context",
    "plot_cumulative_cost",
    "plot_session",
    "plot_timeline",
    "plot_token_costs",
    "plot_tool_counts",
    "plot_tool_durations",
    "plot_tool_transitions",
]
