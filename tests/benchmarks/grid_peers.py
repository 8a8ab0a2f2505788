"""Cells of a notebook that show a server's agents: AgentGrid, and what people write by hand.

The others follow the same server with the same client and draw ten times a second what changed:
one HTML box of ipywidgets with all agents, a grid of one HTML box for each agent, and a DataFrame
that is displayed again. All are 600 pixels high, but for the DataFrame, which has no height.
"""

from __future__ import annotations

_GRID = """
from htmlgraph_nb import AgentGrid
shown = AgentGrid({url!r}, max_rate={rate!r}, height=600)
"""
_FOLLOW = """
import html, threading, time
import ipywidgets
import pandas
from htmlgraph_nb import PresenceClient
client = PresenceClient({url!r}).start()
client.wait_for(lambda agents: len(agents) == {agents}, 60)
changed, lock = set(), threading.Lock()
def note(ids, _):
    with lock:
        changed.update(ids)
client.on_change(note)
names = ["agent_id", "status", "current_feature_id", "last_tool_name", "session_id",
         "last_activity", "total_tools_executed", "total_cost_tokens", "model", "project"]
def values(one):
    return [str(getattr(one, name)) for name in names]
def card(one):
    lines = "".join(f"<div>{{html.escape(value)}}</div>" for value in values(one))
    return f"<div style='border:1px solid;padding:4px;width:200px'>{{lines}}</div>"
def draw_for_ever():
    while True:
        begun = time.monotonic()
        with lock:
            ids = sorted(changed)
            changed.clear()
        if ids:
            draw(client.agents, ids)
        time.sleep(max(0.0, begun + 1 / {rate} - time.monotonic()))
"""
_BOX = """
box = ipywidgets.HTML()
def draw(agents, ids):
    cards = "".join(card(one) for one in agents.values())
    box.value = f"<div style='display:flex;flex-wrap:wrap'>{{cards}}</div>"
draw(client.agents, [])
shown = ipywidgets.VBox([box], layout=dict(height="600px", overflow="auto", display="block"))
"""
_BOXES = """
boxes = {{agent_id: ipywidgets.HTML(card(one)) for agent_id, one in client.agents.items()}}
def draw(agents, ids):
    for agent_id in ids:
        boxes[agent_id].value = card(agents[agent_id])
shown = ipywidgets.GridBox(list(boxes.values()), layout=dict(
    height="600px", overflow="auto", grid_template_columns="repeat(auto-fill, 210px)"))
"""
_FRAME = """
pandas.set_option("display.max_rows", None)
def table(agents):
    return pandas.DataFrame([values(one) for one in agents.values()], columns=names)
shown = table(client.agents)
def draw(agents, ids):
    handle.update(table(agents))
"""
_SHOW = """
handle = display(shown, display_id=True)
"""
_BEGIN = """
threading.Thread(target=draw_for_ever, daemon=True).start()
"""

PEERS = {
    "AgentGrid": (_GRID, _SHOW),
    "HTML box": (_FOLLOW, _BOX, _SHOW),
    "HTML boxes": (_FOLLOW, _BOXES, _SHOW),
    "DataFrame": (_FOLLOW, _FRAME, _SHOW),
}
BEGIN = dict.fromkeys(["HTML box", "HTML boxes", "DataFrame"], _BEGIN)
"""The cell that starts the drawing, once the first one is on the page."""
LARGEST = {"HTML boxes": 1_000}
"""Most agents that are tried; each HTML box is three comms, and opening them takes minutes."""


def cell(name: str, url: str, agents: int, rate: float) -> str:
    """Return the cell that shows the ``agents`` agents of the server at ``url``.

    Args:
        name: of :data:`PEERS`.
        rate: most drawings a second.
    """
    return "".join(PEERS[name]).format(url=url, agents=agents, rate=rate)
