"""htmlgraph-nb: live monitoring of coding agents for notebooks.

Public names are loaded on first use (PEP 562), so that an agent's script pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "AgentGrid": "widget.agent_grid",
    "AgentPresence": "core.model",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "Event": "core.model",
    "HistoryWarning": "errors",
    "HtmlgraphError": "errors",
    "InvalidEvent": "errors",
    "Limits": "core.roster",
    "LocalServer": "client.local_server",
    "PresenceClient": "client.presence_client",
    "PresenceManager": "presence",
    "PresenceStatus": "core.model",
    "PriceWarning": "errors",
    "SDK": "sdk",
    "agents": "analysis",
    "blocks": "analysis",
    "burn_rate": "analysis",
    "check_agent": "agent_check.check",
    "compare": "analysis",
    "concurrency": "analysis",
    "export_history": "history.export",
    "features": "analysis",
    "forecast_budget": "analysis",
    "iter_history": "history.iterate",
    "load_alerts": "history.fired_alerts",
    "load_history": "history.load",
    "load_presence": "history.load",
    "load_quotas": "history.quotas",
    "load_transcripts": "history.transcripts",
    "local": "analysis.local_times",
    "loops": "analysis",
    "plot_activity_heatmap": "analysis.plots",
    "plot_concurrency": "analysis.plots",
    "plot_context": "analysis.plots",
    "plot_cumulative_cost": "analysis.plots",
    "plot_session": "analysis.plots",
    "plot_timeline": "analysis.plots",
    "plot_token_costs": "analysis.plots",
    "plot_tool_counts": "analysis.plots",
    "plot_tool_durations": "analysis.plots",
    "plot_tool_transitions": "analysis.plots",
    "presence_at": "widget.replay_source",
    "readable": "analysis.local_times",
    "replay_alerts": "history.alert_replay",
    "sample_history": "history.sample",
    "sessions": "analysis",
    "start_server": "client.local_server",
    "summary": "analysis",
    "timeline": "analysis",
    "token_costs": "analysis",
    "tool": "integrations.tool_decorator",
    "tool_counts": "analysis",
    "tool_durations": "analysis",
    "tool_errors": "analysis",
    "tool_transitions": "analysis",
    "turns": "analysis",
    "waiting_time": "analysis",
}

__all__ = ["__version__", *sorted(_EXPORTS)]  # noqa: PLE0604

if TYPE_CHECKING:
    from .agent_check.check import check_agent as check_agent
    from .analysis import agents as agents
    from .analysis import blocks as blocks
    from .analysis import burn_rate as burn_rate
    from .analysis import compare as compare
    from .analysis import concurrency as concurrency
    from .analysis import features as features
    from .analysis import forecast_budget as forecast_budget
    from .analysis import loops as loops
    from .analysis import sessions as sessions
    from .analysis import summary as summary
    from .analysis import timeline as timeline
    from .analysis import token_costs as token_costs
    from .analysis import tool_counts as tool_counts
    from .analysis import tool_durations as tool_durations
    from .analysis import tool_errors as tool_errors
    from .analysis import tool_transitions as tool_transitions
    from .analysis import turns as turns
    from .analysis import waiting_time as waiting_time
    from .analysis.local_times import local as local
    from .analysis.local_times import readable as readable
    from .analysis.plots import plot_activity_heatmap as plot_activity_heatmap
    from .analysis.plots import plot_concurrency as plot_concurrency
    from .analysis.plots import plot_context as plot_context
    from .analysis.plots import plot_cumulative_cost as plot_cumulative_cost
    from .analysis.plots import plot_session as plot_session
    from .analysis.plots import plot_timeline as plot_timeline
    from .analysis.plots import plot_token_costs as plot_token_costs
    from .analysis.plots import plot_tool_counts as plot_tool_counts
    from .analysis.plots import plot_tool_durations as plot_tool_durations
    from .analysis.plots import plot_tool_transitions as plot_tool_transitions
    from .client.local_server import LocalServer as LocalServer
    from .client.local_server import start_server as start_server
    from .client.presence_client import PresenceClient as PresenceClient
    from .core.model import AgentPresence as AgentPresence
    from .core.model import Event as Event
    from .core.model import PresenceStatus as PresenceStatus
    from .core.roster import Limits as Limits
    from .errors import ConfigError as ConfigError
    from .errors import ConnectError as ConnectError
    from .errors import HistoryWarning as HistoryWarning
    from .errors import HtmlgraphError as HtmlgraphError
    from .errors import InvalidEvent as InvalidEvent
    from .errors import PriceWarning as PriceWarning
    from .history.alert_replay import replay_alerts as replay_alerts
    from .history.export import export_history as export_history
    from .history.fired_alerts import load_alerts as load_alerts
    from .history.iterate import iter_history as iter_history
    from .history.load import load_history as load_history
    from .history.load import load_presence as load_presence
    from .history.quotas import load_quotas as load_quotas
    from .history.sample import sample_history as sample_history
    from .history.transcripts import load_transcripts as load_transcripts
    from .integrations.tool_decorator import tool as tool
    from .presence import PresenceManager as PresenceManager
    from .sdk import SDK as SDK
    from .widget.agent_grid import AgentGrid as AgentGrid
    from .widget.replay_source import presence_at as presence_at


def __getattr__(name: str) -> Any:
    if name == "alerts":
        # A module with functions of its own, as ``hg.alerts.list()``.
        return import_module(".alerts", __name__)
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'htmlgraph_nb' has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a notebook; ``%load_ext htmlgraph_nb`` calls this."""
    import_module(".integrations.magics", __name__).load_magics(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again."""
    import_module(".integrations.magics", __name__).unload_magics(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, "alerts"})
