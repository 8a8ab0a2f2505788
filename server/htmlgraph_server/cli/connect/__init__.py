"""``htmlgraph-nb connect``: add the hook to the settings of coding agents."""
