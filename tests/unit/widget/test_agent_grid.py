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


def test_agent_grid_dir_lists_its_own_names():
    """Completion shows no names that all widgets have; traitlets and private names still work."""
    with AgentGrid("http://127.0.0.1:1") as grid:
        names = dir(grid)
        public = {name for name in names if name[0] != "_"}
        assert {"agents", "filter", "history", "layout", "observe", "replay", "selected"} <= public
        assert not public & {"add_traits", "class_traits", "comm", "keys", "send", "tooltip"}
        assert "__class__" in names
        seen = []
        grid.observe(seen.append, "view")
        grid.view = "table"
        assert [change["new"] for change in seen] == ["table"]
        assert {"comm", "view"} <= set(grid.trait_names())
        assert "tabbable" in grid.get_state()


def test_agent_grid_front_end_is_text():
    """A path instead would keep every closed widget alive."""
    assert type(AgentGrid._esm) is str
    assert "export default" in AgentGrid._esm
    assert type(AgentGrid._css) is str
