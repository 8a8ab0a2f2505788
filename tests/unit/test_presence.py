"""Names that htmlgraph_nb.presence exports."""

from __future__ import annotations

from htmlgraph_nb.presence import AgentPresence, PresenceStatus


def test_presence_exports_its_original_names() -> None:
    """Scripts import all three from htmlgraph_nb.presence."""
    from htmlgraph_nb import presence

    assert {"AgentPresence", "PresenceManager", "PresenceStatus"} <= set(presence.__all__)
    assert AgentPresence("a").status is PresenceStatus.OFFLINE
