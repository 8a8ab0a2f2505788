"""Notebook cells that show the agents of a server: AgentGrid, and what people write by hand.

The peers follow the same server with the same client and redraw changes ten times a second: one
ipywidgets HTML box with all agents, a grid with one HTML box per agent, and a DataFrame that is
displayed repeatedly. All are 600 pixels high, except the DataFrame, which has no height.
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
def on_change(ids, _):
    with lock:
        changed.update(ids)
client.on_change(on_change)
names = ["agent_id", "status", "current_feature_id", "last_tool_name", "session_id",
         "last_activity", "total_tools_executed", "total_cost_tokens", "model", "project"]
def values(agent):
    return [str(getattr(agent, name)) for name in names]
def card(agent):
    lines = "".join(f"<div>{{html.escape(value)}}</div>" for value in values(agent))
    return f"<div style='border:1px solid;padding:4px;width:200px'>{{lines}}</div>"
def draw_forever():
    while True:
        started = time.monotonic()
        with lock:
            ids = sorted(changed)
            changed.clear()
        if ids:
            draw(client.agents, ids)
        time.sleep(max(0.0, started + 1 / {rate} - time.monotonic()))
"""
_BOX = """
box = ipywidgets.HTML()
def draw(agents, ids):
    cards = "".join(card(agent) for agent in agents.values())
    box.value = f"<div style='display:flex;flex-wrap:wrap'>{{cards}}</div>"
draw(client.agents, [])
shown = ipywidgets.VBox([box], layout=dict(height="600px", overflow="auto", display="block"))
"""
_BOXES = """
boxes = {{agent_id: ipywidgets.HTML(card(agent)) for agent_id, agent in client.agents.items()}}
def draw(agents, ids):
    for agent_id in ids:
        boxes[agent_id].value = card(agents[agent_id])
shown = ipywidgets.GridBox(list(boxes.values()), layout=dict(
    height="600px", overflow="auto", grid_template_columns="repeat(auto-fill, 210px)"))
"""
_FRAME = """
pandas.set_option("display.max_rows", None)
def table(agents):
    return pandas.DataFrame([values(agent) for agent in agents.values()], columns=names)
shown = table(client.agents)
def draw(agents, ids):
    handle.update(table(agents))
"""
_SHOW = """
handle = display(shown, display_id=True)
"""
_START = """
threading.Thread(target=draw_forever, daemon=True).start()
"""

PEERS = {
    "AgentGrid": (_GRID, _SHOW),
    "HTML box": (_FOLLOW, _BOX, _SHOW),
    "HTML boxes": (_FOLLOW, _BOXES, _SHOW),
    "DataFrame": (_FOLLOW, _FRAME, _SHOW),
}
START_CELLS = dict.fromkeys(["HTML box", "HTML boxes", "DataFrame"], _START)
"""The cell that starts the drawing thread, run when the first cell has drawn."""
LARGEST = {"HTML boxes": 1_000}
"""Largest number of agents to try: an HTML box has three comms, so more take minutes to open."""


def cell(name: str, url: str, agents: int, rate: float) -> str:
    """Return the cell that shows the agents of the server at ``url``.

    Args:
        name: a key of :data:`PEERS`.
        agents: number of agents.
        rate: maximum drawings a second.
    """
    return "".join(PEERS[name]).format(url=url, agents=agents, rate=rate)
