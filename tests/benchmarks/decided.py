"""Decisions for generated histories, as a server would have stored them with the events."""

from __future__ import annotations

import pandas as pd

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.core.timestamps import EPOCH


def with_decisions(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the decision columns of ``load_history``.

    Each row has the decision that its event type makes of a working agent.
    """
    types = df["event_type"].cat
    decisions = []
    for event_type in types.categories:
        roster = Roster()
        roster.apply(Event(agent_id="a", event_type="prompt"), 1, EPOCH)
        event = Event(agent_id="a", event_type=event_type, tool_name="Bash")
        decisions.append(roster.apply(event, 2, EPOCH).decision)
    codes = types.codes.to_numpy()
    columns = {
        "agent_status": [one.status.value for one in decisions],
        "agent_detail": [one.detail for one in decisions],
        "agent_reason": [one.reason for one in decisions],
    }
    made = {name: pd.Series(texts, dtype="category").take(codes) for name, texts in columns.items()}
    attention = pd.array([one.attention for one in decisions], dtype="boolean").take(codes)
    return df.assign(
        **{name: column.array for name, column in made.items()}, agent_attention=attention
    )
