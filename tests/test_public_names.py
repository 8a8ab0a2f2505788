"""The public interface: names, routes, commands, settings and message types stay as they are.

Programs of users depend on these lists. Add to them freely; removing or renaming an entry needs
a deprecated alias and a major version.
"""

from __future__ import annotations

import argparse
import ast
import importlib
from importlib.metadata import entry_points

import pytest

import htmlgraph_nb
from htmlgraph_nb import presence
from htmlgraph_nb.core.protocol import CloseCode
from htmlgraph_server.app import ROUTES
from htmlgraph_server.cli.parser import make_parser
from htmlgraph_server.config import SETTINGS
from htmlgraph_server.hub.broadcast_messages import BROADCAST_TYPES
from htmlgraph_server.jupyter.extension import HtmlgraphExtension
from tests.helpers.source import MODULES

PUBLIC_NAMES = """
AgentGrid AgentPresence ConfigError ConnectError Event HistoryWarning HtmlgraphError InvalidEvent
Limits LocalServer PresenceClient PresenceManager PresenceStatus PriceWarning SDK __version__
agents blocks burn_rate check_agent compare concurrency export_history features forecast_budget
iter_history load_alerts load_history load_presence load_quotas load_transcripts local loops
plot_activity_heatmap plot_concurrency plot_context plot_cumulative_cost plot_session plot_timeline
plot_token_costs plot_tool_counts plot_tool_durations plot_tool_transitions presence_at readable
replay_alerts sample_history sessions start_server summary timeline token_costs tool tool_counts
tool_durations tool_errors tool_transitions turns waiting_time
""".split()
PRESENCE_NAMES = "AgentPresence PresenceManager PresenceStatus Publication Receipt".split()
INTEGRATIONS = {
    "langchain": "HtmlgraphCallbackHandler",
    "openai_agents": "HtmlgraphTracingProcessor",
    "claude_agent_sdk": "htmlgraph_hooks htmlgraph_messages",
}
ENTRY_POINTS = ("htmlgraph-nb", "htmlgraph-hook", "htmlgraph-statusline", "jupyter-htmlgraph")
ROUTE_PATTERNS = r"""
/ /static/([^/]+) /ws/broadcasts /ws/events /api/events /api/presence /api/presence/([^/]+)
/api/presence/([^/]+)/offline /api/presence/([^/]+)/viewed /api/alerts
/api/alerts/mute /api/alerts/rules /api/alerts/test /api/alerts/([^/]+)/acknowledge /api/quotas
/api/history /api/activity
/api/broadcast/features/([^/]+)
/api/broadcast/features/([^/]+)/status /api/broadcast/features/([^/]+)/links
/api/broadcast/tracks/([^/]+) /api/broadcast/spikes/([^/]+) /api/hooks/([^/]+) /v1/logs /v1/traces
/v1/metrics /coverage /api/coverage /api/status /api/openapi\.json /metrics
""".split()
SETTING_NAMES = """
host port db token token_file local_token allow_origins allow_hosts
max_clients max_clients_per_session max_agents
max_filter_values max_queue_bytes max_body_bytes max_buffered_bytes tick_ms
stall_timeout idle_timeout offline_timeout
forget_after retain synchronous watch seal
""".split()
LISTENER_SETTINGS = set("host port token token_file local_token allow_origins allow_hosts".split())
COMMANDS = {
    "alerts": "--json --limit --state --token --url --verbose",
    "completion": "--verbose --words",
    "costs": (
        "--blocks --by --daily --files --from --hourly --json --monthly --sessions --since --token "
        "--tz --until --verbose --week-start --weekly --yearly"
    ),
    "connect": (
        "--check --dry-run --http --json --project --statusline --undo --url --user --verbose"
    ),
    "doctor": "--json --token --url --verbose",
    "demo": "--agents --no-browser --seed --speed --verbose",
    "explain": "--json --token --url --verbose",
    "export": (
        "--agent --branch --columns --db --event-type --feature --from --host --limit --model "
        "--project --session --since --token --tool --until --verbose"
    ),
    "forget": "--db --history --verbose",
    "import": "--db --verbose --watch",
    "ls": "--all --json --reverse --sort --state --token --url --verbose",
    "open": "--print --token --url --verbose",
    "reset": "--db --verbose --yes",
    "seal": "--db --verbose --verify",
    "serve": "--stop-on-eof --verbose",
    "status": "--json --token --url --verbose",
    "statusline": "--run --verbose",
    "tail": (
        "--errors --event-type --json --lines --no-follow --project --token --tool --type --url "
        "--verbose"
    ),
    "top": "--all --group --reverse --sort --token --url --verbose",
    "uninstall": "--dry-run --project --verbose",
    "why": "--json --token --url --verbose",
}
CLOSE_CODES = {
    "GOING_AWAY": 1001,
    "PROTOCOL_ERROR": 1002,
    "INVALID_TEXT": 1007,
    "POLICY": 1008,
    "TOO_BIG": 1009,
    "TRY_LATER": 1013,
    "BAD_PARAMETERS": 4400,
    "STALLED": 4408,
}
BROADCASTS = {
    "feature_updated",
    "status_changed",
    "link_added",
    "track_updated",
    "spike_updated",
}


def test_public_names_are_unchanged() -> None:
    """``htmlgraph_nb`` and ``htmlgraph_nb.presence`` export the same names."""
    assert set(PUBLIC_NAMES) <= set(htmlgraph_nb.__all__)
    assert set(PRESENCE_NAMES) <= set(presence.__all__)


@pytest.mark.parametrize("name", htmlgraph_nb.__all__)
def test_public_name_resolves(name: str) -> None:
    """Each public name exists, is listed by dir(), and is the object of its module."""
    assert name in dir(htmlgraph_nb)
    value = getattr(htmlgraph_nb, name)
    if name != "__version__":
        home = importlib.import_module(value.__module__)
        assert getattr(home, name) is value
        assert value.__doc__


def test_public_names_are_typed() -> None:
    """Names loaded on first use are declared to type checkers."""
    tree = ast.parse(MODULES["htmlgraph_nb"].read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.asname
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared | {"__version__"} == set(htmlgraph_nb.__all__)


def test_public_name_that_does_not_exist() -> None:
    """An unknown name raises AttributeError with the name."""
    with pytest.raises(AttributeError, match="'htmlgraph_nb' has no attribute 'AgentGird'"):
        htmlgraph_nb.AgentGird  # noqa: B018


@pytest.mark.parametrize("module", INTEGRATIONS)
def test_integration_import_paths_are_unchanged(module: str) -> None:
    """Documented import paths of the integrations work."""
    loaded = importlib.import_module(f"htmlgraph_nb.integrations.{module}")
    for name in INTEGRATIONS[module].split():
        assert hasattr(loaded, name)


def test_entry_points_are_unchanged() -> None:
    """Each installed command resolves to a function."""
    scripts = {entry.name: entry for entry in entry_points(group="console_scripts")}
    for name in ENTRY_POINTS:
        assert callable(scripts[name].load())


def test_routes_are_unchanged() -> None:
    """Every route of earlier versions exists."""
    assert set(ROUTE_PATTERNS) <= {pattern for pattern, *_ in ROUTES}


def test_settings_are_unchanged() -> None:
    """Flags, variables and Jupyter traits keep their names."""
    assert [setting.name for setting in SETTINGS][: len(SETTING_NAMES)] == SETTING_NAMES
    for setting in SETTINGS:
        assert setting.flag == f"--{setting.name.replace('_', '-')}"
        assert setting.variable == f"HTMLGRAPH_{setting.name.upper()}"
    traits = set(HtmlgraphExtension.class_traits(config=True))
    names = {"db_path" if name == "db" else name for name in SETTING_NAMES}
    assert names - LISTENER_SETTINGS <= traits


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_unchanged(command: str) -> None:
    """Every command keeps its options; ``serve`` and ``demo`` also have all settings."""
    parser = make_parser()
    (commands,) = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    actions = commands.choices[command]._actions
    options = {name for action in actions for name in action.option_strings}
    assert set(COMMANDS[command].split()) <= options
    if command in ("serve", "demo"):
        assert {setting.flag for setting in SETTINGS} <= options


def test_protocol_codes_and_types_are_unchanged() -> None:
    """Close codes and types of broadcast events keep their values."""
    assert {code.name: int(code) for code in CloseCode} == CLOSE_CODES
    assert BROADCASTS == BROADCAST_TYPES
