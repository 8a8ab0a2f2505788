"""The agent grid as a notebook widget, live or driven by a replay."""
