"""``htmlgraph-nb token`` and ``space``."""
