"""Analyse history: tools, costs, agent status and durations.

Each function takes a DataFrame of events and returns a tidy DataFrame; none reads or writes files.
The input needs only the columns that a function documents, with the dtypes of ``HISTORY_DTYPES`` or
compatible ones.
"""

from .blocks import blocks
from .costs import burn_rate, forecast_budget, token_costs
from .intervals import concurrency, timeline, waiting_time
from .loops import loops
from .overview import compare, summary
from .tools import tool_counts, tool_durations, tool_errors, tool_transitions
from .totals import agents, features, sessions
from .turns import turns

__all__ = [
    "agents",
    "blocks",
    "burn_rate",
    "compare",
    "concurrency",
    "features",
    "forecast_budget",
    "loops",
    "sessions",
    "summary",
    "timeline",
    "token_costs",
    "tool_counts",
    "tool_durations",
    "tool_errors",
    "tool_transitions",
    "turns",
    "waiting_time",
]
