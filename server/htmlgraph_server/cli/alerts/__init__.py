"""``htmlgraph-nb alerts``."""
