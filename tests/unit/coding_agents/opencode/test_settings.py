"""Where the plugin is installed."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.registry import AGENTS

AGENT = AGENTS["opencode"]


def test_settings_are_a_plugin_of_the_user_or_a_project() -> None:
    """In the configuration folder, which a variable can name."""
    (user,) = AGENT.settings_paths({}, None)
    assert user.endswith("/.config/opencode/plugins/htmlgraph.js")
    named = AGENT.settings_paths({"OPENCODE_CONFIG_DIR": "/etc/oc"}, None)
    assert named == ["/etc/oc/plugins/htmlgraph.js"]
    assert AGENT.settings_paths({}, "/shop") == ["/shop/.opencode/plugins/htmlgraph.js"]


def test_settings_program_runs_the_hook() -> None:
    """The text contains the command as a JavaScript string."""
    settings = AGENT.hook_settings()
    assert settings is not None
    assert settings.program is not None
    assert "\"'/a b/htmlgraph-hook' opencode\"" in settings.program(
        "'/a b/htmlgraph-hook' opencode"
    )
