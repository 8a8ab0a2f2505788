"""Adds decisions to generated histories, as a server stores them with the events."""

from __future__ import annotations

import pandas as pd

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.core.timestamps import EPOCH


def with_decisions(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the decision columns of ``load_history``.

    Each row has the decision that follows from its event type for a working agent.
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
        "agent_status": [decision.status.value for decision in decisions],
        "agent_detail": [decision.detail for decision in decisions],
        "agent_reason": [decision.reason for decision in decisions],
    }
    categories = {
        name: pd.Series(texts, dtype="category").take(codes) for name, texts in columns.items()
    }
    attention = pd.array([decision.attention for decision in decisions], dtype="boolean").take(
        codes
    )
    return df.assign(
        **{name: column.array for name, column in categories.items()}, agent_attention=attention
    )
