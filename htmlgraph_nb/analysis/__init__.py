"""Questions to a history frame: which tools, what cost, who was active, how long it took.

A DataFrame goes in, a tidy DataFrame comes out; nothing is read or written. Each function takes any
frame that has the columns it names, with the dtypes of ``HISTORY_DTYPES`` or looser ones.
"""

from .costs import burn_rate, forecast_budget, token_costs
from .intervals import concurrency, timeline, waiting_time
from .overview import compare, summary
from .tools import tool_counts, tool_durations, tool_errors, tool_transitions
from .totals import agents, features, sessions

__all__ = [
    "agents",
    "burn_rate",
    "compare",
    "concurrency",
    "features",
    "forecast_budget",
    "sessions",
    "summary",
    "timeline",
    "token_costs",
    "tool_counts",
    "tool_durations",
    "tool_errors",
    "tool_transitions",
    "waiting_time",
]
