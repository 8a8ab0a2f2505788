"""The arguments of AgentGrid, and its front end."""

from __future__ import annotations

import pytest

from htmlgraph_nb import AgentGrid
from htmlgraph_nb.errors import ConfigError


@pytest.mark.parametrize("rate", [0, -1, 61, float("nan"), "fast", None])
def test_agent_grid_rejects_invalid_max_rate(rate):
    """Before anything is started; the message contains the limits."""
    with pytest.raises(
        ConfigError, match=r"max_rate must be > 0 and <= 60 \(updates per second\), got"
    ):
        AgentGrid("http://127.0.0.1:1", max_rate=rate)


@pytest.mark.parametrize("height", [0, -5, True, 1.5])
def test_agent_grid_rejects_invalid_height(height):
    """Before anything is started; the message contains both forms."""
    with pytest.raises(ConfigError, match='expected pixels, such as 400, or CSS, such as "60vh"'):
        AgentGrid("http://127.0.0.1:1", height=height)


def test_agent_grid_front_end_is_text():
    """A path instead would keep every closed widget alive."""
    assert type(AgentGrid._esm) is str
    assert "export default" in AgentGrid._esm
    assert type(AgentGrid._css) is str
