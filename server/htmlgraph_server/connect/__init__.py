"""``htmlgraph-nb connect``: an agent's own settings file gains our hooks, and loses them again."""
