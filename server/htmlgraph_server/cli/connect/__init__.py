"""``htmlgraph-nb connect``: adds the hook to the settings of agents."""
