"""``htmlgraph-nb serve`` and ``htmlgraph-nb demo``."""
