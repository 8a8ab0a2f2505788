"""Constants of OpenCode."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.opencode.constants import SENT_FIELDS
from htmlgraph_nb.coding_agents.opencode.settings import SETTINGS


def test_constants_name_events_of_the_plugin() -> None:
    """The hook sends fields only of events that the plugin forwards."""
    assert set(SENT_FIELDS) <= set(SETTINGS.events)
